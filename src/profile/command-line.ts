/** Kernel arguments, as /proc/cmdline holds them. As with all of them, the last one of a name on the line counts. */
import { parseImageMethod, type SaidMethod } from './image-method.ts';

export const imageMethodArgument = 'confluent_imagemethod';
/** Blanks divide arguments, except between double quotes, which are not part of an argument. */
const argument = /(?:[^\s"]|"[^"]*(?:"|$))+/g;

export interface KernelArgument {
  readonly name: string;
  /** What is behind the first `=`; undefined without one. */
  readonly value: string | undefined;
}

export function kernelArguments(text: string): KernelArgument[] {
  return (text.match(argument) ?? [])
    .map((word) => word.replaceAll('"', ''))
    .map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? { name: word, value: undefined } : { name: word.slice(0, at), value: word.slice(at + 1) };
    });
}

/** The image method that `text` says; undefined when it says nothing. @throws UsageError that names `where` it was found. */
export function imageMethodOfCommandLine(text: string, where = 'kernel command line'): SaidMethod | undefined {
  const said = kernelArguments(text).findLast(({ name }) => name === imageMethodArgument);
  return said === undefined ? undefined : parseImageMethod(said.value ?? '', `${where}: ${imageMethodArgument}=`);
}
