/** The demo of a cluster: node main.ts DIRECTORY, as scripts/boot-profile prints it. Run it by scripts/demo-cluster. */
import { profileAt } from '../../test/boot/profiles.ts';
import { describeFailure } from '../failure.ts';
import { clusterDemo } from './run.ts';

const [directory = ''] = process.argv.slice(2);
const say = (line: string) => console.log(`demo: ${line}`);
try {
  if (process.env['TETHERFS_SANDBOX'] === undefined)
    throw new Error('run it by scripts/demo-cluster, which makes a sandbox');
  console.log(`\n${await clusterDemo(profileAt(directory), say)}`);
} catch (error) {
  console.error(`demo: FAILED: ${describeFailure(error)}`);
  process.exitCode = 1;
}
