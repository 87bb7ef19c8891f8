/** Trees of .rpm packages, by zypper(8). */
import { join } from 'node:path';
import { UsageError } from '../../base/errors.ts';
import type { Installer } from '../installer-run.ts';
import { architectureOf } from './architecture.ts';
import type { InstallRequest } from './distribution.ts';
import { runInTree, setUpRpm } from './rpm.ts';

/** Of SUSE's rpm. */
const database = '/usr/lib/sysimage/rpm';
const importer: Installer = { program: 'rpm', package: 'rpm', reasons: /^error:/ };
const installer: Installer = {
  program: 'zypper',
  package: 'zypper',
  reasons:
    /^(?:No provider of|Package '.*' not found|Problem:|\s*nothing provides|.*(?:Signature verification failed|is not signed|Unknown GPG key|not trusted)|Error:|Download \(curl\) error)/,
  warnings: /scriptlet failed/,
  // A machine that runs is to be booted again; programs; a script has failed.
  doneToo: [102, 103, 107],
};

/** @throws BuildError, UsageError */
export async function installByZypper(request: InstallRequest): Promise<void> {
  const { distribution, tree, work, architecture, packages, checkSignatures } = request;
  if (architecture.rpm !== architectureOf(undefined).rpm)
    throw new UsageError(
      `--arch ${architecture.rpm}: zypper builds for the processor that it runs on; use such a machine`,
    );
  const { repositories, keys, ...setup } = await setUpRpm(request, database, '/etc/zypp/repos.d');
  // What zypper is to believe must be in the tree's own database.
  if (keys.length > 0)
    await runInTree(
      importer,
      ['--root', tree, '--dbpath', database, '--import', ...keys],
      { ...request, volumes: [] },
      setup,
    );
  const words = [
    ...['--non-interactive', '--installroot', tree, '--reposd-dir', repositories, '--cache-dir', join(work, 'cache')],
    ...[`--releasever=${distribution.version}`, ...(checkSignatures ? [] : ['--no-gpg-checks'])],
    ...['install', '--download', 'in-advance', '--no-recommends', '--auto-agree-with-licenses', '--name', ...packages],
  ];
  await runInTree(installer, words, request, setup);
}
