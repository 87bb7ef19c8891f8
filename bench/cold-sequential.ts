/**
 * Cold sequential read over three links of 300 Mbit/s, beside what curl gets from them
 *
 * The whole image through a fresh mount; what the three links give to three curls at once, and one link to one curl, is measured
 * in the same run. Claim: at least 0.85 of the sum.
 */
import { makeTempDir } from '../test/support/temp-dir.ts';
import { startLinkedMembers, threeLinks } from './network/linked-members.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { benchOptions } from './support/options.ts';
import { curlWhole, readWhole } from './support/timed-command.ts';

const linkMegabits = 300;
const linkRttMs = 0.2;

const { runs, imageBytes } = benchOptions({ runs: 3, imageMiB: 192 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using members = await startLinkedMembers(image, threeLinks({ megabits: linkMegabits, rttMs: linkRttMs }));
const { urls } = members;

const three: Measured = { name: 'three curls', unit: 'Mbit/s', values: [] };
const one: Measured = { name: 'one curl', unit: 'Mbit/s', values: [] };
const mount: Measured = { name: 'mount', unit: 'Mbit/s', values: [] };
const megabits = (bytes: number, seconds: number) => (bytes * 8) / 1e6 / seconds;
for (let run = 0; run < runs; run++) {
  const each = await Promise.all(urls.map((url) => curlWhole(url)));
  three.values.push(each.map((seconds) => megabits(image.size, seconds)).reduce((sum, rate) => sum + rate));
  one.values.push(megabits(image.size, await curlWhole(urls[run % urls.length] ?? '')));
  const seconds = await withFreshMount(urls, ['--digest', image.digest], ({ file }) => readWhole(file));
  mount.values.push(megabits(image.size, seconds));
}
console.log(`three links of ${linkMegabits} Mbit/s, http, image of ${image.size} bytes, ${runs} runs`);
printFigures([three, one, mount], three.name);
