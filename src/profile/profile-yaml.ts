/**
 * The image method in a confluent profile (profile.yaml): among its `kernelargs`, or plainly as `imagemethod`. Read as confluent's own
 * parser reads it (YAML 1.1, the last of equal keys counts), and bounded, because a profile may come from the network.
 */
import { UsageError } from '../base/errors.ts';
import { imageMethodOfCommandLine } from './command-line.ts';
import { parseImageMethod, type SaidMethod } from './image-method.ts';
import { parseYaml } from './yaml.ts';

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

/** What people call it; empty when it says nothing, and of text that is no profile: a list shows all there are. */
export function labelOf(profileYaml: string): string {
  return /^label:\s*(.*?)\s*$/m.exec(profileYaml)?.[1] ?? '';
}

function parseMap(yaml: string, where: string): ReadonlyMap<unknown, unknown> {
  const found = parseYaml(yaml, where);
  if (found instanceof Map) return found;
  throw new UsageError(`${where}: is no profile: it must be a map of keys, such as "kernelargs: quiet"`);
}

/** Undefined when the key is absent or has no value. */
function textAt(profile: ReadonlyMap<unknown, unknown>, key: string, where: string): string | undefined {
  const value = profile.get(key) ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new UsageError(`${where}: ${key} must be text on one line`);
}
