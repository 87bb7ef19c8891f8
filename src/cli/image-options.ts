/** Options that several `tetherfs image` subcommands share. */
import { InvalidArgumentError, Option } from 'commander';
import { isBlockSize, largestBlockSize, smallestBlockSize } from '../image/merkle-tree.ts';
import { defaultBlockSize } from '../image/verity-builder.ts';
import { compressions } from '../imgutil/mksquashfs.ts';
import { collect } from './repeated-option.ts';

export function blockSizeOption(): Option {
  return new Option('--block-size <bytes>', 'bytes of an fs-verity block')
    .default(defaultBlockSize)
    .argParser((text) => {
      const value = Number(text);
      if (isBlockSize(value)) return value;
      throw new InvalidArgumentError(`Give a power of two from ${smallestBlockSize} to ${largestBlockSize}.`);
    });
}

export function compressionOption(): Option {
  return new Option('--compression <name>', 'of the squashfs').choices(compressions).default('zstd');
}

const hourMs = 3_600_000;
const unitMs = { h: hourMs, d: 24 * hourMs, w: 7 * 24 * hourMs };
/** Nodes ask for their images at least every 75 minutes. */
const leastHours = 3;

export function accessLogOption(): Option {
  return new Option('--access-log <file>', 'access log of the server on this machine; again for each')
    .default([], 'none')
    .argParser(collect);
}

/** Milliseconds. */
export function keepForOption(): Option {
  return new Option('--keep-for <time>', 'keep what was in use within this time: 12h, 7d, 2w')
    .default(unitMs.w, '7d')
    .argParser(parseTime);
}

function parseTime(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,3})([hdw])$/.exec(text) ?? [];
  const ms = unit === 'h' || unit === 'd' || unit === 'w' ? Number(count) * unitMs[unit] : 0;
  if (ms >= leastHours * hourMs) return ms;
  throw new InvalidArgumentError(`Give hours, days or weeks, such as 7d; at least ${leastHours}h.`);
}

export function caFileOption(): Option {
  return new Option(
    '--ca-file <pem>',
    "for https: authorities that sign the server's certificate (default: the system's)",
  );
}

export function caDirOption(): Option {
  return new Option('--ca-dir <directory>', 'the same of every file in it');
}
