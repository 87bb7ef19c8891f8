/** Trees of .deb packages, by mmdebstrap(1), which needs nothing of the distribution on this machine but its keys. */
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { UsageError } from '../../base/errors.ts';
import { quoted } from '../../base/shell-word.ts';
import type { Volume } from '../exec.ts';
import { exists } from '../file-source.ts';
import { type Installer, runInstaller, showVolume } from '../installer-run.ts';
import type { Family, InstallRequest } from './distribution.ts';

export interface Archive {
  /** ID of os-release(5), and the name of the list of packages. */
  readonly id: string;
  /** By version. */
  readonly codenames: Readonly<Record<string, string>>;
  /** Separated by commas, of a repository that is given by its URL. */
  readonly components: string;
  /** What it is signed with. */
  readonly keyring: string;
  /** Debian's package that brings it. */
  readonly keyringPackage: string;
}

/** What is installed from such an archive. */
export function mmdebstrapFamily(archive: Archive): Family {
  const { id, codenames } = archive;
  const versions = Object.keys(codenames);
  return {
    name: `${id}-`,
    ids: [id],
    versions,
    versionOf: (versionId) => versionId,
    packageList: id,
    versionOfMedium: (path) => versions.find((version) => path === `dists/${codenames[version]}`),
    install: (request) => installByMmdebstrap(request, archive, codenames[request.distribution.version] ?? ''),
  };
}

const installer: Installer = {
  program: 'mmdebstrap',
  package: 'mmdebstrap',
  reasons:
    /^(?: \S+ : (?:Depends|PreDepends|Conflicts|Breaks):|E: (?!setup failed|run_\w+ failed|apt-get .* failed|mmdebstrap failed)|dpkg: error processing| trying to overwrite)/,
  warnings: /^dpkg: warning: .*(?:failed|error)/,
};
const trusted = 'etc/apt/trusted.gpg.d';
/** Where this machine's apt reads from. */
const ownSources = '/etc/apt';

/** Services are not started: mmdebstrap sees to it. */
async function installByMmdebstrap(request: InstallRequest, archive: Archive, codename: string): Promise<void> {
  const { tree, work, architecture, packages, keys, volumes, onLine, onWarning, signal } = request;
  const mirrors = await mirrorsFor(request, codename, archive.components);
  const keyring = await keyringOf(request, archive);
  const words = [
    ...['--mode=root', '--variant=minbase', '--format=directory', `--architectures=${architecture.debian}`],
    ...[`--include=${packages.join(',')}`, `--components=${archive.components}`, `--keyring=${keyring}`],
    // Packages of a repository that is a directory are seen from within.
    '--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount',
    ...volumes.flatMap(volumeHooks),
    ...[codename, tree, ...mirrors],
  ];
  // Initramfs are made when the tree is prepared for it (kernel-img.conf's hooks ask for this).
  const environment = { INITRD: 'No', TMPDIR: work };
  await runInstaller(installer, { words, environment, onLine, onWarning, signal });
  // So that the tree's own apt believes them, too.
  if (keys.length > 0) await mkdir(join(tree, trusted), { recursive: true });
  for (const [index, key] of keys.entries()) await copyFile(key, join(tree, trusted, await keyName(key, index)));
}

/** They are gone before mmdebstrap cleans up, and what was made for them, unless a package has brought it. */
function volumeHooks(volume: Volume): string[] {
  const path = quoted(volume.target);
  const remove = `at=${path}; until [ "$at" = / ] || chroot "$1" dpkg -S "$at" >/dev/null 2>&1; do
rmdir "$1$at" 2>/dev/null || { [ -f "$1$at" ] && rm "$1$at"; } || break
at=$(dirname "$at")
done`;
  return [`--setup-hook=set -e; ${showVolume(volume, '"$1"')}`, `--customize-hook=umount "$1"${path} && ${remove}`];
}

async function mirrorsFor(request: InstallRequest, codename: string, components: string): Promise<string[]> {
  const { source, repositories, checkSignatures } = request;
  const given = [...(source === undefined ? [] : [source]), ...repositories];
  if (given.length === 0) {
    if (checkSignatures) return await ownMirrors(codename);
    throw new UsageError('--no-gpg-check is for repositories that are given: say -r or -s');
  }
  return given.map((one) => {
    const line = /^deb\s/.test(one)
      ? one
      : `deb ${one.startsWith('/') ? `file://${one}` : one} ${codename} ${components.replaceAll(',', ' ')}`;
    if (checkSignatures) return line;
    return line.replace(
      /^deb\s+(?:\[([^\]]*)\]\s*)?/,
      (_, options = '') => `deb [${`${options} trusted=yes`.trim()}] `,
    );
  });
}

/** Those of this machine, where it has the same release: they are near. None: mmdebstrap knows the distribution's. */
async function ownMirrors(codename: string): Promise<string[]> {
  const more = (await readdir(join(ownSources, 'sources.list.d')).catch(() => [])).map((name) =>
    join('sources.list.d', name),
  );
  const files = ['sources.list', ...more]
    .filter((name) => /\.(?:list|sources)$/.test(name))
    .map((name) => join(ownSources, name));
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return files.filter((_, index) => new RegExp(`^[^#\\n]*\\b${codename}\\b`, 'm').test(texts[index] ?? ''));
}

/** A directory with all keys that count. */
async function keyringOf(
  { work, keys, checkSignatures, repositories, source }: InstallRequest,
  archive: Archive,
): Promise<string> {
  const directory = join(work, 'keys');
  await mkdir(directory);
  if (await exists(archive.keyring)) await copyFile(archive.keyring, join(directory, basename(archive.keyring)));
  else if (checkSignatures && keys.length === 0) {
    const which = repositories.length > 0 || source !== undefined ? 'give --gpg-key, or' : 'please';
    throw new UsageError(`${archive.keyring} is not there: ${which} install ${archive.keyringPackage}`);
  }
  for (const [index, key] of keys.entries()) await copyFile(key, join(directory, await keyName(key, index)));
  return directory;
}

/** apt tells by the end of its name how a key is written. */
async function keyName(key: string, index: number): Promise<string> {
  const isArmored = (await readFile(key, 'latin1')).includes('-----BEGIN PGP PUBLIC KEY BLOCK-----');
  return `tetherfs-${index}-${basename(key, extname(key)).replace(/[^\w-]/g, '_')}${isArmored ? '.asc' : '.gpg'}`;
}
