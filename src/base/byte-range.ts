/** A run of bytes of the image as served: `offset` and `length` in bytes, `length` > 0. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes of the largest image that is believed: 2 TiB. Bounds what a server's word can make us allocate. */
export const largestImage = 2 ** 41;

/** The first byte after the range. */
export function rangeEnd(range: ByteRange): number {
  return range.offset + range.length;
}

/** For messages: `1048576+65536`, offset and length in bytes. */
export function describeRange(range: ByteRange): string {
  return `${range.offset}+${range.length}`;
}
