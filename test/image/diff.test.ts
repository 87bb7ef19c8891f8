/** Two trees compared: as directories, as images in clear and encrypted, of this machine and from a member, as a capture. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Comparison } from '../../src/imgutil/diff.ts';
import { pack } from '../../src/imgutil/pack.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import { childrenOf, isRunning } from '../support/process-tree.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { capture } from './captured.ts';

const temp = makeTempDir('diff');
const at = (...path: string[]) => join(temp.path, ...path);
const work = at('work');
const confluent = at('confluent');

/** Of the first tree, what the second has instead, and what is to be said of it. */
const cases: readonly [before: string, after: string, said: string | undefined][] = [
  ['echo x >same; touch -d 2001-01-01 same', 'echo x >same', undefined],
  ['', 'echo new >new', 'added    new  4 B'],
  ['', 'mkdir -p dir/sub; echo in >dir/sub/in', 'added    dir/sub/in  3 B'],
  ['mkdir old; echo old >old/file', '', 'removed  old/file  4 B'],
  ['echo one >content', 'echo two >content', 'changed  content  content'],
  ['echo short >size', 'echo longer >size', 'changed  size  content; 6 B -> 7 B'],
  ['echo x >mode', 'echo x >mode; chmod 4755 mode', 'changed  mode  mode'],
  ['echo x >owner', 'echo x >owner; chown 1:2 owner', 'changed  owner  owner, group'],
  ['ln -s a link', 'ln -s b link', 'changed  link  target'],
  ['mknod device c 1 3', 'mknod device c 1 5', 'changed  device  device'],
  ['echo x >type', 'mkdir type', 'changed  type  type; 2 B'],
  ['mkdir type2; echo x >type2/in', 'echo x >type2', 'changed  type2  type; 2 B'],
  ['echo x >capable', 'echo x >capable; setcap cap_net_raw+ep capable', 'changed  capable  attributes'],
  ['', 'ln -s "x -> y" arrow', 'added    arrow'],
  ['', `printf x >"$(printf 'odd\\n\\\\#012\\303\\244')"`, 'added    odd \\#012ä  1 B'],
  ['', 'mkfifo pipe', 'added    pipe'],
];

beforeAll(() => {
  for (const name of ['a', 'b', 'work']) mkdirSync(at(name));
  for (const [before, after] of cases) {
    execFileSync('sh', ['-ec', before], { cwd: at('a') });
    execFileSync('sh', ['-ec', after], { cwd: at('b') });
  }
  for (const tree of ['a', 'b']) mkdirSync(at(tree, 'usr'));
});
afterAll(() => temp.remove());

function diff(...words: string[]) {
  const env = { ...process.env, TMPDIR: work };
  const all = ['image', 'diff', '--tree', confluent, ...words];
  const { status, stdout, stderr } = spawnSync(tetherfsCommand, all, { encoding: 'utf8', env });
  expect(readdirSync(work)).toEqual([]);
  return { status, stdout, stderr };
}

const packed = (name: string, tree: string, isClear = false) =>
  pack({
    ...{ sourceDir: at(tree), outDir: join(confluent, 'public/os', name), compression: 'zstd', verityBlockSize: 4096 },
    xts: isClear ? undefined : loadBinding().xts,
  });

it('says what one alone has, and what is not the same in both; times are nobody’s business', () => {
  const { status, stdout, stderr } = diff(at('a'), at('b'));
  expect({ status, stderr }).toEqual({ status: 3, stderr: '' });
  const lines = stdout.split('\n');
  const said = cases.flatMap(([, , line]) => line ?? []);
  expect(lines.slice(0, -2)).toEqual(expect.arrayContaining(said));
  expect(lines.filter((line) => /\bsame\b/.test(line))).toEqual([]);
  // The directories that come and go.
  expect(lines.slice(0, -2)).toHaveLength(said.length + 4);
  expect(lines.at(-2)).toMatch(
    /^7 added \(.*\), 3 removed \(.*\), 9 changed; before 14 entries, .*, after 18 entries, /,
  );
});

it('the other way round what was added is removed', () => {
  const found = JSON.parse(diff('--json', at('b'), at('a')).stdout) as Comparison;
  expect(found.differences).toContainEqual({ path: 'dir/sub/in', kind: 'removed', what: [], before: 3 });
  expect(found.differences).toContainEqual({ path: 'size', kind: 'changed', what: ['content'], before: 7, after: 6 });
});

it('an image and its tree are the same, in clear, encrypted, and from a member', async () => {
  for (const [name, isClear] of [
    ['clear', true],
    ['sealed', false],
  ] as const) {
    await packed(name, 'a', isClear);
    expect(diff(name, at('a'))).toEqual({
      status: 0,
      stderr: '',
      stdout: expect.stringMatching(/^the same: 14 entries, /),
    });
  }
  await using nginx = await Nginx.start({ address: '127.0.0.61', publicDir: join(confluent, 'public') });
  const url = nginx.url('os/sealed/rootimg.sfs');
  const key = join(confluent, 'private/os/sealed/pending/rootimg.key');
  expect(diff('--allow-unverified', '--key-file', key, url, 'clear')).toMatchObject({ status: 0, stderr: '' });
  expect(diff('--key-file', key, url, 'clear')).toMatchObject({ status: 2, stdout: '' });
});

it('two images of a profile, by their files', async () => {
  const { digest } = await packed('again', 'a');
  await packed('again', 'b');
  const older = join(confluent, 'public/os/again', `rootimg-${digest.slice('sha256:'.length)}.sfs`);
  const { status, stdout } = diff(older, 'again');
  expect(status).toBe(3);
  expect(stdout).toContain('changed  content  content\n');
  expect(diff('again', older).stdout).toContain('removed  new  4 B\n');
});

it('a capture is compared as the tree that it becomes, links and all', () => {
  execFileSync(
    'sh',
    [
      '-ec',
      `mkdir -p root/srv/lib root/usr lib whole/srv/lib whole/usr; for tree in root whole; do ln -s /srv $tree/var; done
       echo state | tee lib/state >whole/srv/lib/state
       for tree in root lib; do mksquashfs $tree $tree.sfs -quiet -no-progress; done`,
    ],
    { cwd: temp.path, stdio: 'ignore' },
  );
  const part = (mountPoint: string, file: string) => ({
    ...{ mountPoint, json: '{}', filesystem: 'ext4', device: '/dev/sda1', minimumSize: 1, initialSize: 1 },
    data: readFileSync(at(file)),
  });
  writeFileSync(at('capture.sfs'), capture([part('/var/lib', 'lib.sfs'), part('/', 'root.sfs')]).bytes);
  expect(diff(at('capture.sfs'), at('whole'))).toMatchObject({ status: 0, stderr: '' });
  writeFileSync(at('whole/srv/lib/more'), '');
  expect(diff(at('capture.sfs'), at('whole')).stdout).toMatch(/^added {4}srv\/lib\/more {2}0 B\n/);
});

it('what is mounted in a tree does not belong to it', () => {
  mkdirSync(at('a/usr/mounted'));
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', at('a/usr/mounted')]);
  try {
    writeFileSync(at('a/usr/mounted/file'), '');
    expect(diff(at('a'), at('b')).stdout).not.toContain('mounted/file');
  } finally {
    execFileSync('umount', [at('a/usr/mounted')]);
    rmSync(at('a/usr/mounted'), { recursive: true });
  }
});

it('killed in the middle it leaves nothing that runs or is mounted, and the next one removes the rest', async () => {
  const child = spawn(tetherfsCommand, ['image', 'diff', '--tree', confluent, 'sealed', at('b')], {
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: work },
  });
  const holders = await waitUntil('it holds both', () => {
    const all = childrenOf(child.pid ?? 0);
    return all.length > 0 && all;
  });
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  // A process whose end nobody has taken note of counts as one that runs.
  await ended;
  await waitUntil('all of it has ended', () => !holders.some(isRunning));
  expect(diff(at('a'), at('a'))).toMatchObject({ status: 0 });
});

it.each([
  [[], 2, /missing required argument/],
  [['nothing', '/etc'], 2, /^tetherfs: nothing: there is no such file, and no such profile in /],
  [['/etc', '/etc/hostname'], 1, /^tetherfs: .*squashfs/],
])('%j: a line, and nothing is left', (words, status, line) => {
  expect(diff(...words)).toEqual({ status, stdout: '', stderr: expect.stringMatching(line) });
});
