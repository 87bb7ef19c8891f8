/** How images lie in a public directory: under their digests, and the newest under its plain name too. */
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { formatTrace } from '../../src/image/trace.ts';
import { type PackedImage, type PackOptions, pack } from '../../src/imgutil/pack.ts';
import { StagedFiles } from '../../src/imgutil/staged-files.ts';
import { publishTrace } from '../../src/imgutil/trace-publish.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { makeTree } from './image-tree.ts';

let directory: TempDir;
let options: PackOptions;
const at = (...path: string[]) => join(directory.path, ...path);
/** But for the files of the profile as a whole. */
const inPublic = () =>
  readdirSync(at('public'))
    .filter((name) => !['build-info', 'manifest.yaml', 'profile.yaml'].includes(name))
    .sort();

beforeEach(() => {
  directory = makeTempDir('publish');
  options = {
    sourceDir: makeTree(at('tree')),
    outDir: at('public'),
    compression: 'lz4',
    verityBlockSize: 65536,
    xts: loadBinding().xts,
  };
});
afterEach(() => {
  vi.unstubAllEnvs();
  directory.remove();
});

const namesOf = ({ imagePath, sidecarPath }: PackedImage) => [basename(imagePath), basename(sidecarPath)];
const plainNames = ['rootimg.sfs', 'rootimg.sfs.fsverity'];

/** As an earlier version left it: plain files, and no other. */
async function plainly(): Promise<PackedImage> {
  const packed = await pack(options);
  for (const suffix of ['', '.fsverity']) {
    rmSync(at(`public/rootimg.sfs${suffix}`));
    copyFileSync(packed.imagePath + suffix, at(`public/rootimg.sfs${suffix}`));
    rmSync(packed.imagePath + suffix);
  }
  expect(inPublic()).toEqual(plainNames);
  return packed;
}

describe('the plain names', () => {
  test('are relative symbolic links to the newest image and its sidecar, so that the tree can be moved and copied', async () => {
    await pack(options);
    const second = await pack(options);
    expect(plainNames.map((name) => readlinkSync(at('public', name)))).toEqual(namesOf(second));
    expect(readFileSync(at('public/rootimg.sfs')).equals(readFileSync(second.imagePath))).toBe(true);
  });

  test('that were files give way, and the older image stays under its digest, the very file', async () => {
    const old = await plainly();
    const { ino } = statSync(at('public/rootimg.sfs'));
    writeFileSync(at('public/rootimg.sfs.trace'), 'of the old one');
    const packed = await pack(options);
    expect(inPublic()).toEqual(
      [
        ...namesOf(old),
        `${basename(old.imagePath)}.trace`,
        ...namesOf(packed),
        ...plainNames,
        'rootimg.sfs.trace',
      ].sort(),
    );
    expect(statSync(old.imagePath).ino).toBe(ino);
    expect(readFileSync(`${old.imagePath}.trace`, 'utf8')).toBe('of the old one');
  });

  test.each([
    ['no sidecar', () => rmSync(at('public/rootimg.sfs.fsverity'))],
    ['a damaged sidecar', () => writeFileSync(at('public/rootimg.sfs.fsverity'), 'x')],
    ['the sidecar of another size', () => writeFileSync(at('public/rootimg.sfs'), 'short')],
  ])('that were files with %s: nobody held that image by digest', async (_, spoil) => {
    await plainly();
    spoil();
    const packed = await pack(options);
    expect(inPublic()).toEqual([...namesOf(packed), ...plainNames].sort());
  });

  test('stay what they were when the pack fails at its last step, and so does everything else', async () => {
    const old = await plainly();
    const image = readFileSync(at('public/rootimg.sfs'));
    const commit = vi.spyOn(StagedFiles.prototype, 'commit').mockImplementationOnce(async function (this: StagedFiles) {
      mkdirSync(at('public/rootimg.sfs.fsverity.old'));
      throw new Error('no space left');
    });
    await expect(pack(options)).rejects.toThrow('no space left');
    commit.mockRestore();
    expect(inPublic()).toEqual([...plainNames, 'rootimg.sfs.fsverity.old']);
    expect(readFileSync(at('public/rootimg.sfs')).equals(image)).toBe(true);
    expect(existsSync(old.imagePath)).toBe(false);
  });
});

describe('the same bytes once more', () => {
  beforeEach(() => vi.stubEnv('SOURCE_DATE_EPOCH', '1000000000'));
  const clear = () => pack({ ...options, xts: undefined });

  test('leave the file that is there untouched, so that it keeps its ETag; but it is not old any more', async () => {
    const first = await clear();
    const before = statSync(first.imagePath);
    const second = await clear();
    const after = statSync(first.imagePath);
    expect(second.digest).toBe(first.digest);
    expect(inPublic()).toEqual([...namesOf(first), ...plainNames].sort());
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
    expect(after.ctimeMs).toBeGreaterThan(before.ctimeMs);
  });

  test('replace a file of that name that holds others', async () => {
    const { imagePath } = await clear();
    const right = readFileSync(imagePath);
    const wrong = Buffer.from(right);
    wrong.writeUInt8(wrong.readUInt8(70_000) ^ 1, 70_000);
    writeFileSync(imagePath, wrong);
    await clear();
    expect(readFileSync(imagePath).equals(right)).toBe(true);
  });

  test('over the same image as a plain file', async () => {
    options = { ...options, xts: undefined };
    const old = await plainly();
    const packed = await clear();
    expect(packed.digest).toBe(old.digest);
    expect(inPublic()).toEqual([...namesOf(packed), ...plainNames].sort());
    expect(lstatSync(at('public/rootimg.sfs')).isSymbolicLink()).toBe(true);
  });
});

test('a trace that is published for rootimg.sfs lies beside the image it belongs to, and stays with it', async () => {
  const { digest, imageSize, imagePath } = await pack(options);
  const trace = formatTrace({ digest, imageSize, chunkSize: 65536, chunks: Uint32Array.of(0, 3) });
  expect((await publishTrace(trace, at('public/rootimg.sfs'), { xts: loadBinding().xts })).tracePath).toBe(
    join(at('public'), `${basename(imagePath)}.trace`),
  );
  await pack(options);
  expect(readFileSync(`${imagePath}.trace`, 'utf8')).toBe(trace);
});
