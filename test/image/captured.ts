/** A multi-partition capture, as a test makes it. */
import { bigEndian } from './memory-image.ts';

export interface Captured {
  mountPoint: string;
  json: string;
  filesystem: string;
  device: string;
  minimumSize: number;
  initialSize: number;
  data: Buffer;
}

/** What confluent's capture writes, said once more. */
export function capture(partitions: Captured[]): { bytes: Buffer; offsets: number[] } {
  let bytes = Buffer.from(
    '\x63\x7b\x9d\x26\xb7\xfd\x48\x30\x89\xf9\x11\xcf\x18\xfd\xff\xa1\x0fCONFLUENT_IMAGE',
    'latin1',
  );
  const offsets: number[] = [];
  const text = (width: number, value: string) => [bigEndian(width, Buffer.byteLength(value)), Buffer.from(value)];
  for (const { mountPoint, json, filesystem, device, minimumSize, initialSize, data } of partitions) {
    const sizes = [bigEndian(8, minimumSize), bigEndian(8, initialSize)];
    bytes = Buffer.concat([
      bytes,
      ...text(2, mountPoint),
      ...text(4, json),
      ...sizes,
      ...text(2, filesystem),
      ...text(2, device),
    ]);
    const padding = 4096 - ((bytes.length + 10) % 4096);
    bytes = Buffer.concat([bytes, bigEndian(2, padding), Buffer.alloc(padding), bigEndian(8, data.length)]);
    offsets.push(bytes.length);
    const after = (4096 - (data.length % 4096)) % 4096;
    bytes = Buffer.concat([bytes, data, Buffer.alloc(after)]);
  }
  return { bytes, offsets };
}
