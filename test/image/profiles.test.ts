/** The profiles of a tree: listed, and removed, as far as nobody can want them any more. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pack } from '../../src/imgutil/pack.ts';
import type { ListedProfile } from '../../src/imgutil/profile-list.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { checkoutCommand } from '../support/daemon.ts';
import { MemberServer } from '../support/member.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { logLine } from './log-line.ts';

const temp = makeTempDir('profiles');
const tree = join(temp.path, 'confluent');
const publicOf = (name: string) => join(tree, 'public/os', name);
const privateOf = (name: string) => join(tree, 'private/os', name);
let first: string;
let second: string;

beforeAll(async () => {
  const root = join(temp.path, 'root');
  mkdirSync(join(root, 'usr'), { recursive: true });
  const packed = async (name: string, isClear = false) => {
    writeFileSync(join(root, 'usr/name'), `${name}${Math.random()}`);
    const { digest } = await pack({
      ...{ sourceDir: root, outDir: publicOf(name), compression: 'zstd', verityBlockSize: 4096 },
      xts: isClear ? undefined : loadBinding().xts,
    });
    return digest;
  };
  first = await packed('demo');
  second = await packed('demo');
  await packed('clear', true);
  mkdirSync(publicOf('empty'));
});
afterAll(() => temp.remove());

function image(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(checkoutCommand, ['image', ...words, '--tree', tree], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('list', () => {
  it('says what each profile boots, and what nodes would miss', () => {
    const { status, stdout } = image('list');
    expect(status).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^profile +label +newest image +size +images +lacks$/);
    expect(lines[1]).toMatch(/^clear +.* sha256:[0-9a-f]{12} +\d.* KiB, in clear +1 +a kernel, an initramfs$/);
    expect(lines[2]).toMatch(new RegExp(`^demo +.* ${second.slice(0, 19)} +\\d.* KiB +2 +a kernel, an initramfs$`));
    expect(lines[3]).toMatch(/^empty +none +0 +an image, a kernel, an initramfs$/);
  });

  it('of one says which images there are, the newest first, and where', () => {
    const lines = image('list', 'demo').stdout.trim().split('\n');
    expect(lines.slice(1).map((line) => line.split(/ {2,}/)[0])).toEqual([second.slice(0, 19), first.slice(0, 19)]);
    expect(lines[1]).toMatch(/ newest +\/.*\/public\/os\/demo\/rootimg-[0-9a-f]{64}\.sfs$/);
    const [{ images = [] } = {}] = JSON.parse(image('list', 'demo', '--json').stdout) as ListedProfile[];
    expect(images.map(({ digest, isNewest, isEncrypted }) => [digest, isNewest, isEncrypted])).toEqual([
      [second, true, true],
      [first, false, true],
    ]);
  });

  it('an image whose key or hash tree is gone, and one under its plain name', () => {
    const key = join(privateOf('demo'), 'pending');
    renameSync(key, `${key}.away`);
    renameSync(join(publicOf('demo'), `rootimg-${second.slice(7)}.sfs.fsverity`), join(temp.path, 'sidecar'));
    expect(image('list').stdout).toMatch(/^demo .* the hash tree of its image, the key of its image, a kernel/m);
    renameSync(`${key}.away`, key);
    renameSync(join(temp.path, 'sidecar'), join(publicOf('demo'), `rootimg-${second.slice(7)}.sfs.fsverity`));
    execFileSync('sh', ['-ec', `cp --dereference ${publicOf('clear')}/rootimg.sfs ${publicOf('empty')}/`]);
    expect(image('list').stdout).toMatch(
      /^empty +without a digest +\d.* KiB, in clear +1 +the hash tree of its image/m,
    );
    rmSync(join(publicOf('empty'), 'rootimg.sfs'));
  });

  it('a name or a tree that is not there', () => {
    expect(image('list', 'nothing')).toEqual({
      ...{ status: 2, stdout: '' },
      stderr: 'tetherfs: nothing: there is no such profile; "tetherfs image list" shows all\n',
    });
    const { status, stderr } = spawnSync(checkoutCommand, ['image', 'list', '--tree', '/nonexistent'], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/^tetherfs: \/nonexistent\/public\/os: no such file.*give --tree/),
    });
  });
});

describe('rm', () => {
  const log = join(temp.path, 'access.log');
  const now = () => Math.floor(Date.now() / 1000) * 1000;
  const asked = (path: string) => ({ request: `GET /confluent-public/os/${path} HTTP/1.1` });
  /** Goes back far enough; somebody reads another profile. */
  const covering = () =>
    logLine(now() - 30 * 86_400_000, asked('other/rootimg.sfs')) + logLine(now(), asked('other/rootimg.sfs'));
  beforeEach(() => {
    for (const name of ['trial', 'trial2']) {
      execFileSync('cp', ['-a', publicOf('demo'), publicOf(name)]);
      execFileSync('cp', ['-a', privateOf('demo'), privateOf(name)]);
    }
    return () => {
      for (const name of ['trial', 'trial2'])
        for (const path of [publicOf(name), privateOf(name)]) rmSync(path, { recursive: true, force: true });
    };
  });
  const isThere = (name: string) => [publicOf(name), privateOf(name)].map((path) => existsSync(path));
  const refused = (words: RegExp) => ({ status: 1, stdout: '', stderr: expect.stringMatching(words) });

  it('removes what nobody has asked for, all of it, and nothing else', () => {
    writeFileSync(log, covering());
    expect(image('rm', '--access-log', log, 'trial', 'trial2')).toEqual({
      ...{ status: 0, stderr: '' },
      stdout: expect.stringMatching(/^removed trial \(\d.* KiB\)\nremoved trial2 \(.*\)\n$/),
    });
    expect([isThere('trial'), isThere('demo')]).toEqual([
      [false, false],
      [true, true],
    ]);
    expect(readdirSync(join(tree, 'public/os')).sort()).toEqual(['clear', 'demo', 'empty']);
    expect(readdirSync(join(tree, 'private/os')).sort()).toEqual(['demo']);
  });

  it.each([
    ['under its digest', () => `trial/rootimg-${first.slice(7)}.sfs`],
    ['by its plain name', () => 'trial/rootimg.sfs'],
  ])('keeps all that are named when one was asked for %s', (_, path) => {
    writeFileSync(log, covering() + logLine(now() - 86_400_000, asked(path())));
    expect(image('rm', '--access-log', log, 'trial2', 'trial')).toEqual(
      refused(
        /^tetherfs: nothing was removed: \/confluent-public\/os\/trial\/rootimg\S* was asked for at .*; --anyway removes it all the same\n$/,
      ),
    );
    expect([isThere('trial'), isThere('trial2')]).toEqual([
      [true, true],
      [true, true],
    ]);
    expect(image('rm', '--anyway', 'trial')).toMatchObject({ status: 0 });
    expect(isThere('trial')).toEqual([false, false]);
  });

  it('logs that tell too little are no proof, and none is none', () => {
    expect(image('rm', 'trial')).toEqual(refused(/nothing tells whether nodes run from trial: give --access-log FILE/));
    writeFileSync(log, logLine(now(), asked('other/rootimg.sfs')));
    expect(image('rm', '--access-log', log, 'trial')).toEqual(
      refused(/it is not certain that no node holds trial: .* begin only at/),
    );
    expect(isThere('trial')).toEqual([true, true]);
  });

  it('of one that was killed half way the rest, and what lies aside', () => {
    renameSync(publicOf('trial'), join(tree, 'public/os/.rm-999999999-00'));
    expect(image('rm', '--anyway', 'trial')).toMatchObject({ status: 0 });
    expect(isThere('trial')).toEqual([false, false]);
    expect(readdirSync(join(tree, 'public/os')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('a link to a profile elsewhere goes, and that one stays', () => {
    const elsewhere = join(temp.path, 'elsewhere');
    renameSync(publicOf('trial'), elsewhere);
    execFileSync('ln', ['-s', elsewhere, publicOf('trial')]);
    expect(image('rm', '--anyway', 'trial')).toMatchObject({ status: 0 });
    expect([isThere('trial'), existsSync(join(elsewhere, 'rootimg.sfs'))]).toEqual([[false, false], true]);
    rmSync(elsewhere, { recursive: true });
  });

  it.each(['nothing', '../demo', '.', 'demo/', ''])('"%s" is no profile', (name) => {
    expect(image('rm', '--anyway', name)).toMatchObject({ status: 2, stdout: '' });
    expect(isThere('demo')).toEqual([true, true]);
  });

  it('nodes of the site that boot it are named', async () => {
    await using member = await MemberServer.start();
    execFileSync('cp', ['-a', publicOf('trial'), join(member.tree, 'public/os/trial')]);
    await member.cli('node', 'add', 'n[1-7]', 'deployment.pendingprofile=trial');
    writeFileSync(log, covering());
    const rm = () => {
      const words = ['--tree', member.tree, '--state', member.state, '--access-log', log, 'trial'];
      const { status, stdout, stderr } = spawnSync(checkoutCommand, ['image', 'rm', ...words], { encoding: 'utf8' });
      return { status, stdout, stderr };
    };
    expect(rm()).toEqual(
      refused(/^tetherfs: nothing was removed: 7 nodes boot trial \(n1, n2, n3, n4, n5, …\); --anyway/),
    );
    await member.cli('node', 'rm', 'n[1-7]');
    expect(rm()).toMatchObject({ status: 0 });
  });
});
