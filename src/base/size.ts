/**
 * Sizes as people write them: `64MiB`, `1GiB`, `500000`. Units are binary (KiB, MiB, GiB, or K, M, G).
 */
import { UsageError } from './errors.ts';

const units: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** Bytes. @throws UsageError naming `option` when the text is no size. */
export function parseSize(text: string, option: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:iB)?$/.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(digits) * (units[unit] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError(`${option}: "${text}" is not a size; write bytes or e.g. 64MiB, 1GiB`);
  }
  return bytes;
}

/** `64.0 MiB`: for people. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}
