/**
 * What a boot reads, by path and in order: files, or parts of files. As text it is a path a line, so that a list made by hand is one as well
 * (docs/image-format.md). Paths are bytes; here each is a character (latin1).
 */
import { BootOrderError } from './errors.ts';

export interface BootOrderItem {
  /** Absolute in the image. */
  readonly path: string;
  /** Bytes of the file; undefined: all of it. */
  readonly part?: { readonly offset: number; readonly length: number };
}

/** Bytes of a text at most: some 200 000 paths. */
export const largestBootOrderSize = 16 << 20;

/** A path below PATH_MAX (linux/limits.h). */
const longestPath = 4095;
const partLine = /^(\d{1,15}) ([1-9]\d{0,14}) (\/.*)$/s;

/** Ends with a newline. A path with a newline cannot be listed, and is left out; so is what exceeds the largest text. */
export function formatBootOrder(items: readonly BootOrderItem[]): string {
  let text = '';
  for (const { path, part } of items) {
    if (path.includes('\n')) continue;
    const line = `${part === undefined ? '' : `${part.offset} ${part.length} `}${path}\n`;
    if (text.length + line.length > largestBootOrderSize) break;
    text += line;
  }
  return text;
}

/**
 * Reads a path a line, absolute or relative to the root; `OFFSET LENGTH PATH` (in bytes) for a part of a file. Empty lines, and those that begin
 * with `#`, are passed over.
 * @throws BootOrderError with the line that is wrong.
 */
export function parseBootOrder(text: string): BootOrderItem[] {
  const items: BootOrderItem[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [, offset, length, partPath] = partLine.exec(line) ?? [];
    const path = `/${(partPath ?? line).replace(/^(\.?\/+)+/, '')}`;
    if (line.includes('\0') || path === '/' || path.length > longestPath) {
      throw new BootOrderError(index + 1, `${JSON.stringify(line.slice(0, 60))} is no path`);
    }
    const part = { offset: Number(offset), length: Number(length) };
    items.push(partPath === undefined ? { path } : { path, part });
  }
  return items;
}
