/**
 * `image unpack` of an encrypted image, beside unsquashfs of the same in clear
 *
 * Claim: at most 1.2 times as long; every byte is verified and decrypted meanwhile. Of /usr/share of this machine, or of the tree that TETHERFS_BENCH_TREE names.
 */
import { execFileSync } from 'node:child_process';
import { readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tetherfsCommand } from '../test/support/daemon.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { benchOptions } from './support/options.ts';
import { timeCommand } from './support/timed-command.ts';

const { runs } = benchOptions({ runs: 5, imageMiB: 1 });
const tree = process.env['TETHERFS_BENCH_TREE'] ?? '/usr/share';
using directory = makeTempDir('bench-unpack');
const at = (...path: string[]) => join(directory.path, ...path);
for (const [profile, ...words] of [['secret'], ['clear', '--no-encrypt']] as const)
  execFileSync(tetherfsCommand, ['image', 'pack', ...words, tree, at(profile)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
const clear = at('clear', readlinkSync(at('clear/rootimg.sfs')));

const bare: Measured = { name: 'unsquashfs', unit: 's', digits: 1, values: [] };
const ours: Measured = { name: 'tetherfs image unpack', unit: 's', digits: 1, values: [] };
const ways: [Measured, () => Promise<number>][] = [
  [bare, () => timeCommand('unsquashfs', '-quiet', '-no-progress', '-dest', at('tree'), clear)],
  [ours, () => timeCommand(tetherfsCommand, 'image', 'unpack', at('secret'), at('tree'))],
];
for (let run = 0; run < runs; run++) {
  // Each is the first one in turn.
  for (const [measured, unpack] of run % 2 === 0 ? ways : ways.toReversed()) {
    measured.values.push(await unpack());
    rmSync(at('tree'), { recursive: true });
  }
}
console.log(`${tree}, ${runs} runs`);
printFigures([bare, ours], bare.name);
