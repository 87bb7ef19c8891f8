/** Files that root changes where others may write: no link of theirs leads it to another. */
import {
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { OwnFile } from '../../src/node/onboot/own-file.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';

let temp: TempDir;
const at = (...path: string[]) => join(temp.path, ...path);
const joe = 1_000;

beforeEach(() => {
  temp = makeTempDir('own-file');
  mkdirSync(at('home/joe'), { recursive: true });
  chownSync(at('home/joe'), joe, joe);
  mkdirSync(at('etc'));
  writeFileSync(at('etc/shadow'), 'secret\n', { mode: 0o640 });
});
afterEach(() => temp.remove());

function link(target: string, path: string, owner: number): string {
  symlinkSync(target, path);
  lchownSync(path, owner, owner);
  return path;
}

async function append(path: string): Promise<void> {
  await using file = await OwnFile.at(path);
  await file.replace(Buffer.concat([(await file.read()) ?? Buffer.alloc(0), Buffer.from('more\n')]));
}

it('keeps owner and rights of what it replaces; what is new is root’s', async () => {
  writeFileSync(at('home/joe/.bashrc'), 'joe\n', { mode: 0o600 });
  chownSync(at('home/joe/.bashrc'), joe, joe);
  await append(at('home/joe/.bashrc'));
  await append(at('home/joe/.new'));
  expect(readFileSync(at('home/joe/.bashrc'), 'utf8')).toBe('joe\nmore\n');
  const told = (path: string) => [statSync(path).uid, statSync(path).mode & 0o777];
  expect([told(at('home/joe/.bashrc')), told(at('home/joe/.new'))]).toEqual([
    [joe, 0o600],
    [0, 0o644],
  ]);
});

it.each<[string, () => string]>([
  ['the file itself is one', () => link(at('etc/shadow'), at('home/joe/.bashrc'), joe)],
  ['one is on the way', () => join(link(at('etc'), at('home/joe/.config'), joe), 'shadow')],
  [
    'one leads to it from a link of root’s',
    () => {
      link(at('etc'), at('home/joe/there'), joe);
      link(at('home/joe/there'), at('short'), 0);
      return at('short/shadow');
    },
  ],
])('does nothing through a link that is not root’s: %s', async (_, make) => {
  const path = make();
  await expect(append(path)).rejects.toThrow(/is a link that is not root's/);
  const change = async () => {
    await using file = await OwnFile.at(path);
    await file.change((handle) => handle.chmod(0o777));
  };
  await expect(change()).rejects.toThrow(/is a link that is not root's/);
  expect(readFileSync(at('etc/shadow'), 'utf8')).toBe('secret\n');
  expect(statSync(at('etc/shadow')).mode & 0o777).toBe(0o640);
});

it('a name that somebody has guessed leads nowhere', async () => {
  writeFileSync(at('home/joe/.bashrc'), 'joe\n');
  for (const guess of ['.bashrc.tetherfs', '.bashrc.new', '.tetherfs'])
    link(at('etc/shadow'), at('home/joe', guess), joe);
  await append(at('home/joe/.bashrc'));
  expect(readFileSync(at('etc/shadow'), 'utf8')).toBe('secret\n');
});

it('links of root’s are followed, relative ones, too', async () => {
  mkdirSync(at('var/real'), { recursive: true });
  link('real', at('var/short'), 0);
  link('../../etc/shadow', at('var/real/file'), 0);
  await append(at('var/short/file'));
  expect(readFileSync(at('var/real/file'), 'utf8')).toBe('secret\nmore\n');
  expect(existsSync(at('var/real/.tetherfs'))).toBe(false);
});

it('a pipe that somebody has laid there is no file, and not waited for', async () => {
  const { execFileSync } = await import('node:child_process');
  execFileSync('mkfifo', [at('home/joe/.bashrc')]);
  await expect(append(at('home/joe/.bashrc'))).rejects.toThrow(/is no file/);
});
