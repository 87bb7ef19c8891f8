/**
 * Cached random 4 KiB O_DIRECT reads a second, beside the least FUSE server in C
 *
 * All of the image is in the arena; one reader, then sixteen. Mount and yardstick take turns in each run.
 */
import { Nginx } from '../test/support/nginx.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { randomReadRate } from './support/fio.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { benchOptions } from './support/options.ts';
import { buildReference, withReferenceMount } from './support/reference-mount.ts';
import { readWhole } from './support/timed-command.ts';

const secondsEach = 3;

const { runs, imageBytes } = benchOptions({ runs: 3, imageMiB: 64 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using nginx = await Nginx.start({ address: '127.0.0.11', publicDir: image.publicDir });
const options = ['--digest', image.digest, '--cache-size', String(2 * image.size)];
buildReference();

for (const depth of [1, 16]) {
  const yardstick: Measured = { name: `yardstick, depth ${depth}`, unit: 'IOPS', values: [] };
  const mount: Measured = { name: `mount, depth ${depth}`, unit: 'IOPS', values: [] };
  for (let run = 0; run < runs; run++) {
    const rate = await withFreshMount([nginx.url(image.path)], options, async ({ file }) => {
      await readWhole(file);
      return randomReadRate(file, depth, secondsEach);
    });
    mount.values.push(rate);
    yardstick.values.push(await withReferenceMount(image.size, (file) => randomReadRate(file, depth, secondsEach)));
  }
  printFigures([yardstick, mount], yardstick.name);
}
