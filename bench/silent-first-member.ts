/**
 * Time until a mount is ready when the first member is a black hole, beside the same with all well
 *
 * The first member's packets are dropped without a word, as by a machine that lost its way back. Claim: ready within a second.
 */
import { makeTempDir } from '../test/support/temp-dir.ts';
import { startLinkedMembers, threeLinks } from './network/linked-members.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { benchOptions } from './support/options.ts';

const { runs, imageBytes } = benchOptions({ runs: 5, imageMiB: 32 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using members = await startLinkedMembers(image, threeLinks({ megabits: 300, rttMs: 0.2 }));
const [first] = members.links;

const well: Measured = { name: 'all well', unit: 'ms', values: [] };
const silent: Measured = { name: 'first silent', unit: 'ms', values: [] };
const ready = () => withFreshMount(members.urls, ['--digest', image.digest], ({ readyMs }) => readyMs);
for (let run = 0; run < runs; run++) {
  well.values.push(await ready());
  await first?.silence();
  silent.values.push(await ready());
  await first?.restore();
}
console.log(`from the start of the command until the mount is there, ${runs} runs`);
printFigures([well, silent], well.name);
