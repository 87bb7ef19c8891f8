/** Processors that trees are built for. The kernel and rpm call them one way, Debian another. */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../base/errors.ts';

interface Architecture {
  readonly rpm: string;
  readonly debian: string;
  /** Node.js' name. */
  readonly node: string;
}

const architectures: readonly Architecture[] = [
  { rpm: 'x86_64', debian: 'amd64', node: 'x64' },
  { rpm: 'aarch64', debian: 'arm64', node: 'arm64' },
];

/** @param given either name; undefined: this machine's. @throws UsageError when it is none of ours, or its programs do not run here. */
export function architectureOf(given: string | undefined): Architecture {
  const own = architectures.find(({ node }) => node === process.arch);
  const wanted = given === undefined ? own : architectures.find(({ rpm, debian }) => [rpm, debian].includes(given));
  if (wanted === undefined) {
    const names = architectures.map(({ rpm, debian }) => `${rpm} (${debian})`).join(' or ');
    throw new UsageError(`--arch ${given ?? process.arch}: it is ${names}`);
  }
  if (wanted !== own && !runsHere(wanted))
    throw new UsageError(
      `--arch ${given}: programs for it do not run here: install qemu-user-static and binfmt-support (Debian), or build on such a machine`,
    );
  return wanted;
}

/** The other name of the same; itself, when it is not known. */
export function otherNameOf(name: string): string {
  const found = architectures.find(({ rpm, debian }) => [rpm, debian].includes(name));
  return found === undefined ? name : found.rpm === name ? found.debian : found.rpm;
}

/** Documentation/admin-guide/binfmt-misc.rst: with the flag F the interpreter is found from within the tree, too. */
function runsHere({ rpm }: Architecture): boolean {
  try {
    const text = readFileSync(`/proc/sys/fs/binfmt_misc/qemu-${rpm}`, 'utf8');
    return /^enabled$/m.test(text) && /^flags:.*F/m.test(text);
  } catch {
    return false;
  }
}
