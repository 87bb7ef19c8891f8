/** Trees of .rpm packages, by dnf(8). */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Installer } from '../installer-run.ts';
import type { InstallRequest } from './distribution.ts';
import { runInTree, setUpRpm } from './rpm.ts';

const installer: Installer = {
  program: 'dnf',
  package: 'dnf',
  reasons:
    /^(?:Error: (?!Transaction failed|$)|No match for argument|Unable to find a match|\s*-? ?(?:nothing provides|package .* requires)|.*(?:GPG check FAILED|is not signed|is not installed\. Failing|key is not correct)|Errors during downloading|\[Errno|Curl error)/,
  warnings: /scriptlet failed|Error in \w+ scriptlet/,
};

/** @param database where rpm of that distribution has it. @throws BuildError, UsageError */
export async function installByDnf(request: InstallRequest, database: string): Promise<void> {
  const { distribution, tree, work, architecture, packages } = request;
  const { repositories, ...setup } = await setUpRpm(request, database, '/etc/yum.repos.d');
  // Nothing of this machine's own.
  const config = join(work, 'dnf.conf');
  await mkdir(join(work, 'log'));
  await writeFile(config, '[main]\nplugins=0\nbest=1\n');
  // dnf takes these for paths in the tree when a file says them.
  const settings = {
    reposdir: repositories,
    varsdir: '/etc/dnf/vars',
    cachedir: join(work, 'cache'),
    logdir: join(work, 'log'),
    persistdir: join(tree, 'var/lib/dnf'),
  };
  const words = [
    ...['--assumeyes', `--config=${config}`, `--installroot=${tree}`, `--releasever=${distribution.version}`],
    ...Object.entries(settings).map(([name, value]) => `--setopt=${name}=${value}`),
    ...[`--forcearch=${architecture.rpm}`, 'install', ...packages],
  ];
  await runInTree(installer, words, request, setup);
}
