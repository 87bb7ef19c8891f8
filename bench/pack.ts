/**
 * `image pack`, encrypted and hashed, beside mksquashfs with the same options and a copy of what it makes
 *
 * Claim: at most 1.1 times as long. Of /usr/share of this machine, or of the tree that TETHERFS_BENCH_TREE names.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { tetherfsCommand } from '../test/support/daemon.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { benchOptions } from './support/options.ts';
import { timeCommand } from './support/timed-command.ts';

const { runs } = benchOptions({ runs: 5, imageMiB: 1 });
const tree = process.env['TETHERFS_BENCH_TREE'] ?? '/usr/share';
using directory = makeTempDir('bench-pack');
const at = (...path: string[]) => join(directory.path, ...path);
// As src/imgutil/mksquashfs.ts has them.
const words = ['-noappend', '-xattrs', '-exit-on-error', '-comp', 'zstd', '-quiet', '-no-progress'];

const bare: Measured = { name: 'mksquashfs and cp', unit: 's', digits: 1, values: [] };
const ours: Measured = { name: 'tetherfs image pack', unit: 's', digits: 1, values: [] };
const ways: [Measured, () => Promise<number>][] = [
  [
    bare,
    async () =>
      (await timeCommand('mksquashfs', tree, at('clear'), ...words)) +
      (await timeCommand('cp', at('clear'), at('copy'))),
  ],
  [ours, () => timeCommand(tetherfsCommand, 'image', 'pack', tree, at('profile'))],
];
for (let run = 0; run < runs; run++) {
  // Each is the first one in turn.
  for (const [measured, pack] of run % 2 === 0 ? ways : ways.toReversed()) {
    measured.values.push(await pack());
    for (const name of ['clear', 'copy', 'profile', 'profile.private'])
      rmSync(at(name), { recursive: true, force: true });
  }
}
console.log(`${tree}, ${runs} runs`);
printFigures([bare, ours], bare.name);
