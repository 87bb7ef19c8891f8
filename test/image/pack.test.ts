import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifySidecar } from '../../src/image/sidecar.ts';
import { type PackOptions, pack } from '../../src/imgutil/pack.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { compareWithTree, decryptImage, makeTree, readText } from './image-tree.ts';

let directory: TempDir;
let options: PackOptions;
const at = (...path: string[]) => join(directory.path, ...path);

beforeEach(() => {
  directory = makeTempDir('pack');
  options = {
    sourceDir: makeTree(at('tree')),
    outDir: at('public'),
    compression: 'zstd',
    verityBlockSize: 65536,
    xts: loadBinding().xts,
  };
});
afterEach(() => directory.remove());

/** Everything below the temporary directory but the tree, directories with a slash. */
function everything(): string[] {
  return readdirSync(directory.path, { recursive: true, withFileTypes: true })
    .map(
      (entry) =>
        `${join(entry.parentPath, entry.name).slice(directory.path.length + 1)}${entry.isDirectory() ? '/' : ''}`,
    )
    .filter((path) => !path.startsWith('tree'))
    .sort();
}

/** The private directory with the keys of the images of these digests. */
function keyPlace(...digests: string[]): string[] {
  const pending = 'public.private/pending/';
  const keys = digests.map((digest) => `${pending}rootimg-${digest.slice('sha256:'.length)}.key`);
  return ['public.private/', pending, ...keys, `${pending}rootimg.key`].sort();
}

/** The public directory with the images of these digests. */
function published(...digests: string[]): string[] {
  const named = digests.flatMap((digest) => {
    const image = `public/rootimg-${digest.slice('sha256:'.length)}.sfs`;
    return [image, `${image}.fsverity`];
  });
  const others = ['build-info', 'manifest.yaml', 'profile.yaml', 'rootimg.sfs', 'rootimg.sfs.fsverity'].map(
    (name) => `public/${name}`,
  );
  return ['public/', ...named, ...others].sort();
}

/** What lies at each of these paths; links are followed. */
function contents(paths: string[]): Map<string, Buffer> {
  return new Map(paths.filter((path) => !path.endsWith('/')).map((path) => [path, readFileSync(at(path))]));
}

describe('packing a directory', () => {
  test('makes an image that OpenSSL decrypts and unsquashfs unpacks to the same tree', async () => {
    const { imagePath, imageSize, keyPath = '' } = await pack(options);
    const image = readFileSync(imagePath);
    expect(image.length).toBe(imageSize);
    expect(imageSize % 512).toBe(0);
    expect(image.includes('hsqs')).toBe(false);
    writeFileSync(at('clear.sfs'), decryptImage(image, readText(keyPath)));
    compareWithTree(at('clear.sfs'), at('tree'), at('unpacked'));
  });

  test.each([4096, 65536, 131072])(
    'names the digest that fsverity finds, with its sidecar, for blocks of %i',
    async (size) => {
      const { imagePath, sidecarPath, digest } = await pack({ ...options, verityBlockSize: size });
      const printed = execFileSync('fsverity', ['digest', `--block-size=${size}`, imagePath], { encoding: 'utf8' });
      expect(printed).toContain(digest);
      expect(verifySidecar(readFileSync(sidecarPath), digest).blockSize).toBe(size);
    },
  );

  test('puts the key beside the public directory, for its owner’s eyes only, and leaves nothing else', async () => {
    const { digest } = await pack(options);
    expect(everything()).toEqual([...keyPlace(digest), ...published(digest)]);
    const mode = (path: string) => statSync(at(path)).mode & 0o7777;
    expect(mode('public.private/pending/rootimg.key')).toBe(0o600);
    expect(mode('public.private')).toBe(0o700);
    expect(mode('public.private/pending')).toBe(0o700);
    expect(mode('public/rootimg.sfs')).toBe(0o644);
    expect(mode('public/rootimg.sfs.fsverity')).toBe(0o644);
  });

  test('uses the counterpart of the profile in confluent’s tree, owned as that tree is', async () => {
    mkdirSync(at('confluent/public/os'), { recursive: true });
    mkdirSync(at('confluent/private/os'), { recursive: true });
    chownSync(at('confluent/private/os'), 1234, 1235);
    const outDir = at('confluent/public/os/demo');
    const { keyPath = '' } = await pack({ ...options, outDir, tree: at('confluent') });
    expect(keyPath).toBe(at('confluent/private/os/demo/pending/rootimg.key'));
    expect(statSync(keyPath)).toMatchObject({ uid: 1234, gid: 1235 });
    expect(statSync(at('confluent/private/os/demo'))).toMatchObject({ uid: 1234, gid: 1235 });
  });

  test('again makes another image, with a new key, and leaves the first as it was', async () => {
    const first = await pack(options);
    const before = contents(everything());
    const second = await pack(options);
    expect(everything()).toEqual([...keyPlace(first.digest, second.digest), ...published(first.digest, second.digest)]);
    expect(second.digest).not.toBe(first.digest);
    for (const [path, bytes] of before) {
      const kept = path.endsWith('.yaml') || path.includes(first.digest.slice('sha256:'.length));
      expect({ path, same: readFileSync(at(path)).equals(bytes) }).toEqual({ path, same: kept });
    }
    expect(decryptImage(readFileSync(second.imagePath), readText(second.keyPath ?? '')).toString('latin1', 0, 4)).toBe(
      'hsqs',
    );
  });

  test('without encryption makes a plain squashfs and no key', async () => {
    const packed = await pack({ ...options, xts: undefined });
    expect(packed.keyPath).toBeUndefined();
    expect(everything()).toEqual(published(packed.digest));
    compareWithTree(packed.imagePath, at('tree'), at('unpacked'));
  });

  test.each(['zstd', 'xz', 'gzip', 'lz4'] as const)('compresses with %s when told so', async (compression) => {
    const { imagePath } = await pack({ ...options, compression, xts: undefined });
    expect(execFileSync('unsquashfs', ['-s', imagePath], { encoding: 'utf8' })).toContain(`Compression ${compression}`);
  });

  test('tells how far it is, up to the end', async () => {
    const told: number[] = [];
    const { imageSize } = await pack({ ...options, onProgress: (done, total) => told.push(done / total) });
    expect(told.length).toBeGreaterThan(2);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told.at(-1)).toBe(1);
    expect(imageSize).toBeGreaterThan(3_000_000);
  });
});

describe('a pack that cannot be', () => {
  test('because the key would be served is refused', async () => {
    mkdirSync(at('public'));
    symlinkSync(at('public'), at('innocent'));
    for (const privateDir of [at('public'), at('public/private'), at('innocent/private')]) {
      await expect(pack({ ...options, privateDir })).rejects.toThrow(/the key would be served/);
    }
    expect(everything()).toEqual(['innocent', 'public/']);
  });

  test('because confluent’s public tree would get the key, even through a symbolic link to that tree, is refused', async () => {
    mkdirSync(at('data/public/os/demo/deeper'), { recursive: true });
    symlinkSync(at('data'), at('confluent'));
    const tree = at('confluent');
    await expect(pack({ ...options, outDir: at('data/public/os/demo/deeper'), tree })).rejects.toThrow(
      /would be served/,
    );
    const { keyPath } = await pack({ ...options, outDir: at('data/public/os/demo'), tree });
    expect(keyPath).toBe(at('data/private/os/demo/pending/rootimg.key'));
  });

  test('because the image would hold itself is refused', async () => {
    await expect(pack({ ...options, outDir: at('tree/public') })).rejects.toThrow(/would hold itself/);
    await expect(pack({ ...options, privateDir: at('tree/private') })).rejects.toThrow(/would hold itself/);
    expect(readdirSync(at('tree')).sort()).toEqual(['bin', 'etc', 'usr']);
    expect(existsSync(at('public'))).toBe(false);
  });

  test('because there is no directory is wrong usage', async () => {
    await expect(pack({ ...options, sourceDir: at('nothing') })).rejects.toMatchObject({
      code: 'USAGE',
      exitStatus: 2,
    });
  });
});

describe('a pack that fails', () => {
  test('while it writes leaves nothing behind', async () => {
    const abort = new AbortController();
    const packing = pack({ ...options, signal: abort.signal, onProgress: () => abort.abort() });
    await expect(packing).rejects.toMatchObject({ code: 'PACK' });
    expect(everything()).toEqual([]);
  });

  test('while mksquashfs runs leaves nothing behind, mksquashfs neither', async () => {
    const abort = new AbortController();
    const packing = pack({ ...options, compression: 'xz', signal: abort.signal });
    const interrupted = expect(packing).rejects.toThrow('packing was interrupted; nothing was changed');
    await waitUntil('mksquashfs writes', () => everything().some((path) => path.endsWith('clear.sfs')), {
      intervalMs: 1,
    });
    abort.abort();
    await interrupted;
    expect(everything()).toEqual([]);
  });

  test('leaves the old image, sidecar and key as they were', async () => {
    const { digest } = await pack(options);
    const old = contents(everything());
    const abort = new AbortController();
    await expect(pack({ ...options, signal: abort.signal, onProgress: () => abort.abort() })).rejects.toThrow();
    expect(everything()).toEqual([...keyPlace(digest), ...published(digest)]);
    for (const [path, bytes] of old) expect(readFileSync(at(path)).equals(bytes)).toBe(true);
  });

  test('because one of the targets cannot be replaced brings the others back', async () => {
    const { digest } = await pack(options);
    const key = readText(at('public.private/pending/rootimg.key'));
    // The last of the renames meets a directory.
    execFileSync('rm', [at('public/rootimg.sfs')]);
    mkdirSync(at('public/rootimg.sfs'));
    await expect(pack(options)).rejects.toMatchObject({ code: 'PACK' });
    expect(readText(at('public.private/pending/rootimg.key'))).toBe(key);
    const before = published(digest).map((path) => (path === 'public/rootimg.sfs' ? `${path}/` : path));
    expect(everything()).toEqual([...keyPlace(digest), ...before].sort());
    expect(readlinkSync(at('public/rootimg.sfs.fsverity'))).toContain(digest.slice('sha256:'.length));
  });
});
