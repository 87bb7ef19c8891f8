/** What is known about an image, as lines for a human. */
import type { ImageContent, ImageInfo } from './image-info.ts';

/** Ends with a newline. */
export function formatImageInfo(location: string, info: ImageInfo): string {
  const { imageSize, format, label, encryption, content, verity, problems } = info;
  const rows: [string, string][] = [
    ['image', location],
    ['format', label === undefined ? format : `${format} (${label})`],
    ['size', bytes(imageSize)],
  ];
  if (encryption !== undefined) {
    rows.push(['encryption', encryption.cipher], ['payload', bytes(encryption.payloadSize)]);
    if (content !== undefined) rows.push(['holds', content.format]);
  }
  if (content !== undefined) rows.push(...contentRows(content));
  rows.push(['digest', verity?.digest ?? 'unknown: no sidecar beside the image (--digest computes it)']);
  if (verity !== undefined)
    rows.push([
      'verity',
      `blocks of ${verity.blockSize} bytes, ${verity.from === 'sidecar' ? 'from the sidecar' : 'computed'}`,
    ]);
  if (info.bootOrder !== undefined) rows.push(['boot order', info.bootOrder]);
  rows.push(...problems.map((problem): [string, string] => ['problem', problem]));
  return rows.map(([name, value]) => `${name.padEnd(11)} ${value}\n`).join('');
}

function contentRows({ squashfs, partitions = [] }: ImageContent): [string, string][] {
  const rows: [string, string][] = [];
  if (squashfs !== undefined) {
    const { compression, blockSize, bytesUsed, inodes, madeAt } = squashfs;
    rows.push(['squashfs', `${compression}, blocks of ${blockSize} bytes, ${inodes} inodes, ${bytes(bytesUsed)}`]);
    rows.push(['made', madeAt.toISOString()]);
  }
  for (const { mountPoint, filesystem, device, size, offset } of partitions) {
    const [mount, type, from] = [mountPoint, filesystem, device].map((text) => JSON.stringify(text));
    rows.push(['partition', `${mount}, ${type} on ${from}: ${bytes(size)} at ${offset}`]);
  }
  return rows;
}

function bytes(count: number): string {
  const mebibytes = count / 2 ** 20;
  return mebibytes < 1 ? `${count} bytes` : `${count} bytes (${mebibytes.toFixed(1)} MiB)`;
}
