import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Daemon, isMounted } from './daemon.ts';
import { Nginx } from './nginx.ts';
import { packImage } from './packed-image.ts';
import { makeTempDir } from './temp-dir.ts';

test('a real image, packed, served by a real nginx and mounted, is read back byte for byte', async () => {
  using directory = makeTempDir();
  const tree = join(directory.path, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'noise'), randomBytes(5_000_000));
  const image = await packImage(tree, directory.path);
  await using nginx = await Nginx.start({ address: '127.0.0.23', publicDir: image.publicDir });
  const mountpoint = join(directory.path, 'mnt');
  const daemon = await Daemon.start({ urls: [nginx.url(image.path)], mountpoint, options: ['--digest', image.digest] });
  const served = await readFile(image.imageFile);
  expect(served.equals(await readFile(join(mountpoint, 'rootimg.sfs')))).toBe(true);
  const status = await daemon.status();
  expect(status.image).toMatchObject({ size: image.size, digest: image.digest });
  expect(await daemon.close()).toBe(0);
  expect(isMounted(mountpoint)).toBe(false);
});
