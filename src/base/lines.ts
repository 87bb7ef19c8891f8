/** What programs print, by lines. */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** Each line that these bring, whole, as it comes; what redraws itself in place counts as lines. */
export function tellLines(streams: readonly (Readable | null)[], onLine: (line: string) => void): void {
  for (const stream of streams) {
    if (stream === null) continue;
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine);
  }
}
