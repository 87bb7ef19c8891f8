/** What dnf and zypper have in common: repositories of .rpm packages, whose signatures are believed, and where the database lies. */
import { lstat, mkdir, readdir, readFile, rm, rmdir, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { UsageError } from '../../base/errors.ts';
import { runProgram } from '../../base/program.ts';
import { quoted } from '../../base/shell-word.ts';
import { BuildError } from '../errors.ts';
import { exists } from '../file-source.ts';
import { type Installer, runInstaller, showVolume } from '../installer-run.ts';
import type { InstallRequest } from './distribution.ts';

export interface RpmSetup {
  /** A directory with a file of repositories, yum's form, which zypper reads as well. */
  readonly repositories: string;
  /** Keys' files. */
  readonly keys: readonly string[];
  /** For the environment: rpm reads there where the tree's database is. Debian's would put it into a home directory, and refuse to install anything. */
  readonly home: string;
  readonly database: string;
}

/** Where keys of distributions lie on machines that have them. */
const keyPlaces = ['/etc/pki/rpm-gpg', '/usr/share/distribution-gpg-keys'];
const metadata = 'repodata/repomd.xml';

/** @param database where it lies in the tree. @param own where this machine has its own repositories. @throws UsageError */
export async function setUpRpm(request: InstallRequest, database: string, own: string): Promise<RpmSetup> {
  const { tree, work } = request;
  for (const name of ['proc', 'sys', 'dev', 'run']) await mkdir(join(tree, name), { recursive: true });
  const home = join(work, 'home');
  await mkdir(home);
  await writeFile(join(home, '.rpmmacros'), `%_dbpath ${database}\n`);
  const urls = await urlsOf(request);
  if (urls.length === 0) {
    if (request.isOwn) return { repositories: own, keys: [], home, database };
    throw new UsageError(
      'this machine knows no repositories of that distribution: give some with -r, or a medium with -s',
    );
  }
  const keys = request.checkSignatures ? await keysOf(request) : [];
  const repositories = join(work, 'repositories');
  await mkdir(repositories);
  const check = request.checkSignatures ? 1 : 0;
  const text = urls.map((url, index) =>
    [
      ...[`[tetherfs-${index + 1}]`, `name=${url}`, `baseurl=${url}`, 'enabled=1', 'type=rpm-md', 'autorefresh=1'],
      ...[`gpgcheck=${check}`, `pkg_gpgcheck=${check}`, 'repo_gpgcheck=0', 'skip_if_unavailable=0'],
      `gpgkey=${keys.map((key) => pathToFileURL(key).href).join(' ')}`,
      '',
    ].join('\n'),
  );
  await writeFile(join(repositories, 'tetherfs.repo'), text.join('\n'));
  return { repositories, keys, home, database };
}

/**
 * Runs it with what scripts of packages want to see mounted in the tree, and the volumes; of that nothing is left in it.
 * @throws BuildError
 */
export async function runInTree(
  installer: Installer,
  words: readonly string[],
  request: InstallRequest,
  { home, database }: Pick<RpmSetup, 'home' | 'database'>,
): Promise<void> {
  const { tree, work, volumes, onLine, onWarning, signal } = request;
  const shown = volumes.map((volume) => showVolume(volume, quoted(tree)));
  const before = [...systemMounts(tree), ...shown].join('\n');
  const environment = { HOME: home, RPM_FORCE_DEBIAN: '1' };
  await runInstaller(installer, { words, before, environment, onLine, onWarning, signal });
  // Both take a path for their own files for one in the tree, now and then, and write logs.
  await rm(join(tree, work), { recursive: true, force: true });
  const logs = join(tree, 'var/log');
  for (const name of await readdir(logs).catch(() => []))
    if (/^(?:dnf|hawkey|zypp)\b/.test(name)) await rm(join(logs, name), { recursive: true });
  const made = [work, ...volumes.map(({ target }) => target)].filter((path) => !path.startsWith('/run/'));
  for (const path of made) await removeUnowned(path, { tree, database, home });
}

/** Empty directories and files that were made for a mount, from the deepest upwards, up to the first that a package has brought. */
async function removeUnowned(
  path: string,
  { tree, database, home }: { tree: string; database: string; home: string },
): Promise<void> {
  for (let at = path; at !== '/'; at = dirname(at)) {
    const found = await lstat(tree + at).catch(() => undefined);
    if (found === undefined) continue;
    const isOwned = await runProgram('rpm', ['--root', tree, '--dbpath', database, '-qf', at], {
      env: { ...process.env, HOME: home },
      missing: (cause) => new BuildError('rpm is not installed (Debian package rpm)', { cause }),
    }).then(
      () => true,
      () => false,
    );
    if (isOwned) return;
    const isEmpty = await (found.isDirectory() ? rmdir(tree + at) : unlink(tree + at)).then(
      () => true,
      () => false,
    );
    if (!isEmpty) return;
  }
}

function systemMounts(tree: string): string[] {
  const at = (path: string) => quoted(tree + path);
  const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
  return [
    `mount -t proc proc ${at('/proc')}`,
    `mount -t tmpfs -o mode=755 run ${at('/run')}`,
    `mount --rbind /sys ${at('/sys')}; mount -o remount,bind,ro ${at('/sys')}`,
    `mount -t tmpfs -o mode=755 dev ${at('/dev')}; ln -s /proc/self/fd ${at('/dev/fd')}`,
    ...devices.map((name) => `touch ${at(`/dev/${name}`)}; mount --bind /dev/${name} ${at(`/dev/${name}`)}`),
  ];
}

/** @returns of each medium and repository, the URLs of what has metadata. @throws UsageError */
async function urlsOf({ source, repositories }: InstallRequest): Promise<string[]> {
  const urls = source === undefined ? [] : await repositoriesOn(source);
  for (const given of repositories) {
    if (/^[a-z]+:\/\//.test(given)) urls.push(given);
    else if (await exists(join(given, metadata))) urls.push(pathToFileURL(resolve(given)).href);
    else
      throw new UsageError(
        `-r ${given}: it is no URL, and there is no ${join(given, metadata)} (createrepo_c makes it)`,
      );
  }
  return urls;
}

/** Media have one repository, or one in each of their directories (BaseOS, AppStream, Module-Basesystem). */
async function repositoriesOn(source: string): Promise<string[]> {
  const names = (await readdir(source, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  const found: string[] = [];
  for (const name of ['', ...names.sort()])
    if (await exists(join(source, name, metadata))) found.push(pathToFileURL(join(source, name)).href);
  if (found.length === 0) throw new UsageError(`-s ${source}: there is no ${metadata}, there or in its directories`);
  return found;
}

async function keysOf({ keys, source }: InstallRequest): Promise<string[]> {
  const found = keys.map((key) => resolve(key));
  for (const place of found.length > 0 ? [] : [...(source === undefined ? [] : [source]), ...keyPlaces]) {
    for (const name of await readdir(place, { recursive: true }).catch(() => [])) {
      const isKey = /(?:^|\/)(?:RPM-GPG-KEY|gpg-pubkey)[^/]*$/.test(name);
      if (isKey && (await readFile(join(place, name), 'latin1').catch(() => '')).includes('PGP PUBLIC KEY'))
        found.push(join(place, name));
    }
  }
  if (found.length === 0)
    throw new UsageError('nothing tells whose packages to believe: give --gpg-key, or say --no-gpg-check');
  return found;
}
