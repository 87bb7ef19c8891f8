/** YAML that a person has written and that may come from the network: bounded in everything that costs a parser time. */
import { parseDocument } from 'yaml';
import { describeError, UsageError } from '../base/errors.ts';

/** Bytes. confluent's have a few hundred. */
export const largestProfileSize = 65_536;
/** Values that aliases may stand for, all together. */
const mostAliases = 100;
/** `&` and `*` in a profile at most: each alias that there is costs the parser a walk through all of it. */
const mostAnchors = 200;

/** What it holds, with maps as Map. @throws UsageError that names `where`. */
export function parseYaml(yaml: string, where: string): unknown {
  if (Buffer.byteLength(yaml) > largestProfileSize) {
    throw new UsageError(`${where}: has more than the ${largestProfileSize} bytes that a profile may have`);
  }
  if ((yaml.match(/[&*]/g)?.length ?? 0) > mostAnchors) {
    throw new UsageError(
      `${where}: has more than ${mostAnchors} & and *, as anchors and aliases have: write out what they stand for`,
    );
  }
  try {
    // uniqueKeys would take quadratic time
    const document = parseDocument(yaml, { version: '1.1', uniqueKeys: false });
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS({ mapAsMap: true, maxAliasCount: mostAliases });
  } catch (cause) {
    // the first line says what; it may quote the file. Nested too deeply, the parser runs out of stack
    const [what = ''] = describeError(cause)
      .slice(0, 120)
      .split(/\p{Cc}/u);
    throw new UsageError(`${where}: is no YAML that can be read: ${what.replace(/:$/, '')}`, { cause });
  }
}
