/**
 * The image method in a confluent profile (profile.yaml): among its `kernelargs`, or plainly as `imagemethod`. Read as confluent's own
 * parser reads it (YAML 1.1, the last of equal keys counts), and bounded, because a profile may come from the network.
 */
import { parseDocument } from 'yaml';
import { describeError, UsageError } from '../base/errors.ts';
import { imageMethodOfCommandLine } from './command-line.ts';
import { parseImageMethod, type SaidMethod } from './image-method.ts';

/** Bytes. confluent's have a few hundred. */
export const largestProfileSize = 65_536;
/** Values that aliases may stand for, all together. */
const mostAliases = 100;
/** `&` and `*` in a profile at most: each alias that there is costs the parser a walk through all of it. */
const mostAnchors = 200;

/** What the profile says; undefined when it says nothing. @throws UsageError that names `where`: the profile's path or URL. */
export function imageMethodOf(profileYaml: string, where = 'profile.yaml'): SaidMethod | undefined {
  const profile = parseMap(profileYaml, where);
  const kernelargs = textAt(profile, 'kernelargs', where);
  const plain = textAt(profile, 'imagemethod', where);
  const inArguments = kernelargs && imageMethodOfCommandLine(kernelargs, `${where}: kernelargs`);
  if (plain === undefined) return inArguments || undefined;
  const said = parseImageMethod(plain, `${where}: imagemethod: `);
  if (inArguments && inArguments.word !== said.word) {
    throw new UsageError(
      `${where}: kernelargs say ${inArguments.word}, imagemethod says ${said.word}: remove one of them`,
    );
  }
  return said;
}

/** What the profile adds to the kernel command line: empty when it adds nothing. @throws UsageError that names `where`. */
export function kernelArgsOf(profileYaml: string, where = 'profile.yaml'): string {
  const text = textAt(parseMap(profileYaml, where), 'kernelargs', where) ?? '';
  if (/[\p{Cc}]/u.test(text.trim())) throw new UsageError(`${where}: kernelargs must be one line`);
  return text.trim();
}

function parseMap(yaml: string, where: string): ReadonlyMap<unknown, unknown> {
  if (Buffer.byteLength(yaml) > largestProfileSize) {
    throw new UsageError(`${where}: has more than the ${largestProfileSize} bytes that a profile may have`);
  }
  if ((yaml.match(/[&*]/g)?.length ?? 0) > mostAnchors) {
    throw new UsageError(
      `${where}: has more than ${mostAnchors} & and *, as anchors and aliases have: write out what they stand for`,
    );
  }
  let found: unknown;
  try {
    // uniqueKeys would take quadratic time
    const document = parseDocument(yaml, { version: '1.1', uniqueKeys: false });
    const [error] = document.errors;
    if (error !== undefined) throw error;
    found = document.toJS({ mapAsMap: true, maxAliasCount: mostAliases });
  } catch (cause) {
    // the first line says what; it may quote the file. Nested too deeply, the parser runs out of stack
    const [what = ''] = describeError(cause)
      .slice(0, 120)
      .split(/\p{Cc}/u);
    throw new UsageError(`${where}: is no YAML that can be read: ${what.replace(/:$/, '')}`, { cause });
  }
  if (found instanceof Map) return found;
  throw new UsageError(`${where}: is no profile: it must be a map of keys, such as "kernelargs: quiet"`);
}

/** Undefined when the key is absent or has no value. */
function textAt(profile: ReadonlyMap<unknown, unknown>, key: string, where: string): string | undefined {
  const value = profile.get(key) ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new UsageError(`${where}: ${key} must be text on one line`);
}
