/** The image method in kernel arguments: `confluent_imagemethod=WORD`. As with all of them, the last one on the line counts. */
import { parseImageMethod, type SaidMethod } from './image-method.ts';

const name = 'confluent_imagemethod';
/** Blanks divide arguments, except between double quotes, which are not part of an argument. */
const argument = /(?:[^\s"]|"[^"]*(?:"|$))+/g;

/** What `text` says, as /proc/cmdline holds it; undefined when it says nothing. @throws UsageError that names `where` it was found. */
export function imageMethodOfCommandLine(text: string, where = 'kernel command line'): SaidMethod | undefined {
  const said = (text.match(argument) ?? [])
    .map((word) => word.replaceAll('"', ''))
    .findLast((word) => word === name || word.startsWith(`${name}=`));
  return said === undefined ? undefined : parseImageMethod(said.slice(name.length + 1), `${where}: ${name}=`);
}
