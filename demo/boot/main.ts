/** The demo of a boot: node main.ts DIRECTORY, as scripts/boot-profile prints it. Run it by scripts/demo-boot. */
import { profileAt } from '../../test/boot/profiles.ts';
import { describeFailure } from '../failure.ts';
import { bootDemo } from './run.ts';

const [directory = ''] = process.argv.slice(2);
const say = (line: string) => console.log(`demo: ${line}`);
try {
  if (process.env['TETHERFS_SANDBOX'] === undefined)
    throw new Error('run it by scripts/demo-boot, which makes a sandbox');
  console.log(`\n${await bootDemo(profileAt(directory), say)}`);
} catch (error) {
  console.error(`demo: FAILED: ${describeFailure(error)}`);
  process.exitCode = 1;
}
