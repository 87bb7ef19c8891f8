/** Lists of packages in the form of confluent's imgutil. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageLists } from '../../../src/base/installation.ts';
import { readPackageList } from '../../../src/imgutil/distributions/package-list.ts';
import { makeTempDir, type TempDir } from '../../support/temp-dir.ts';

let directory: TempDir;
beforeEach(() => {
  directory = makeTempDir('lists');
});
afterEach(() => directory.remove());

const at = (name: string) => join(directory.path, name);
const read = (text: string, architecture = 'x86_64', version = '9') => {
  writeFileSync(at('list'), text);
  return readPackageList(at('list'), { architecture, version });
};

it('names are separated by blanks, each counts once, and comments not at all', async () => {
  expect(await read('kernel dracut\n\n# all of it\n\tpython3 # and why\nshim-x64.x86_64 g++ kernel\n')).toEqual([
    ...['kernel', 'dracut', 'python3', 'shim-x64.x86_64', 'g++'],
  ]);
});

it('another list is seen from the one that names it, with or without its second bracket', async () => {
  mkdirSync(at('sub'));
  writeFileSync(at('sub/one'), 'first <two>');
  writeFileSync(at('sub/two'), 'second\n');
  expect(await read(`before <sub/one> <${at('sub/two')} after`)).toEqual(['before', 'first', 'second', 'after']);
});

describe('conditions', () => {
  const text = 'a\n%onlyarch x86_64 ppc64le\nb\n%onlyversions 8 9\nc\n%onlyarch aarch64\nd\n';

  it.each([
    ['x86_64', '9', ['a', 'b', 'c']],
    ['aarch64', '10', ['a', 'd']],
    ['amd64', '10', ['a', 'b']],
  ])('on %s of version %s count until the next', async (architecture, version, names) => {
    expect(await read(text, architecture, version)).toEqual(names);
  });

  it('of an included list end with it', async () => {
    writeFileSync(at('other'), '%onlyversions 7\nhidden');
    expect(await read('<other> seen')).toEqual(['seen']);
  });
});

it.each([
  ['%only x86_64\n', /list:1: %only is neither %onlyarch nor %onlyversions$/],
  ['kernel\n--installroot=/\n', /list:2: --installroot=\/ is no name of a package$/],
  ['<list>', /list includes itself: .*list > .*list$/],
  ['<nowhere>', /the package list .*nowhere, which .*list includes: no such file or directory$/],
])('%j is refused', async (text, why) => {
  await expect(read(text)).rejects.toThrow(why);
});

it('our own can be read, for all that they are for', async () => {
  const lists = readdirSync(packageLists);
  expect(lists).toEqual(expect.arrayContaining(['debian', 'el', 'fedora', 'suse', 'ubuntu']));
  for (const list of lists)
    for (const architecture of ['x86_64', 'aarch64'])
      for (const version of ['8', '10', '12', '15', '16', '24.04', '41']) {
        const names = await readPackageList(join(packageLists, list), { architecture, version });
        expect(names).toEqual(expect.arrayContaining(['xfsprogs', 'kmod']));
      }
});
