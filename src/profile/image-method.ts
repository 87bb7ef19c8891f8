/** How an image is held, in the words in which a profile or a kernel command line says it. */
import { UsageError } from '../base/errors.ts';

/** `tethered`: fetched as it is read. `untethered`: all of it in RAM first. `progressive`: the one at once, the other as soon as it can. */
export type ImageMethod = 'tethered' | 'untethered' | 'progressive';

export const imageMethodWords = ['tethered', 'untethered', 'uncompressed', 'progressive'] as const;

export interface SaidMethod {
  readonly method: ImageMethod;
  /** As it was said. `uncompressed` is untethered here: that it is unpacked into RAM is a later step of the boot. */
  readonly word: (typeof imageMethodWords)[number];
}

/** @param where what to blame, e.g. `profile.yaml: kernelargs say confluent_imagemethod=`. @throws UsageError for any other word. */
export function parseImageMethod(text: string, where: string): SaidMethod {
  const word = imageMethodWords.find((candidate) => candidate === text);
  if (word === undefined) {
    throw new UsageError(`${where}${JSON.stringify(text.slice(0, 40))}: say one of ${imageMethodWords.join(', ')}`);
  }
  return { method: word === 'uncompressed' ? 'untethered' : word, word };
}
