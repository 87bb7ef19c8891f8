/**
 * Type, length, value: how node and member talk about a key (grant.ts). A byte of type, a byte of length, the value; types with bit 7 set have two bytes
 * of length, the higher first. Bytes come in pieces of any size.
 */
import { ProtocolError } from './protocol-error.ts';

export interface Tlv {
  type: number;
  value: Buffer;
}

const wideTypes = 0x80;

/** @throws RangeError when the length has no room for the value. */
export function encodeTlv(type: number, value: Uint8Array = new Uint8Array()): Buffer {
  const isWide = (type & wideTypes) !== 0;
  if (value.length > (isWide ? 0xffff : 0xff)) throw new RangeError(`a value of ${value.length} bytes`);
  const length = isWide ? [value.length >> 8, value.length & 0xff] : [value.length];
  return Buffer.concat([Uint8Array.of(type, ...length), value]);
}

export class TlvReader {
  readonly #longest: number;
  #bytes = Buffer.alloc(0);

  /** @param longest value that is taken, in bytes. */
  constructor(longest: number) {
    this.#longest = longest;
  }

  push(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
  }

  /** Undefined while it is not whole. @throws ProtocolError when it is longer than any that makes sense: as soon as its length is there. */
  next(): Tlv | undefined {
    const [type, first, second] = this.#bytes;
    if (type === undefined || first === undefined) return undefined;
    const isWide = (type & wideTypes) !== 0;
    if (isWide && second === undefined) return undefined;
    const head = isWide ? 3 : 2;
    const length = isWide ? (first << 8) | (second ?? 0) : first;
    if (length > this.#longest)
      throw new ProtocolError(`a value of ${length} bytes, where ${this.#longest} are the most`);
    if (this.#bytes.length < head + length) return undefined;
    const value = this.#bytes.subarray(head, head + length);
    this.#bytes = this.#bytes.subarray(head + length);
    return { type, value };
  }

  /** Exactly so many bytes that are no TLV; undefined while they are not there. */
  take(count: number): Buffer | undefined {
    if (this.#bytes.length < count) return undefined;
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }
}
