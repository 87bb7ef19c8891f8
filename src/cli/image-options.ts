/** Options that several `tetherfs image` subcommands share. */
import { InvalidArgumentError, Option } from 'commander';
import { isBlockSize, largestBlockSize, smallestBlockSize } from '../image/merkle-tree.ts';
import { defaultBlockSize } from '../image/verity-builder.ts';

export function blockSizeOption(): Option {
  return new Option('--block-size <bytes>', 'bytes of an fs-verity block')
    .default(defaultBlockSize)
    .argParser((text) => {
      const value = Number(text);
      if (isBlockSize(value)) return value;
      throw new InvalidArgumentError(`Give a power of two from ${smallestBlockSize} to ${largestBlockSize}.`);
    });
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
