/** Images in the order of a boot: what is given, what an earlier image's boots tell, and that it is the same files in the next image. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { formatBootOrder, parseBootOrder } from '../../src/image/boot-order.ts';
import { bootOrderOfChunks, chunksOfBootOrder, type PlacedFiles } from '../../src/image/boot-order-chunks.ts';
import { chunkIndex } from '../../src/image/geometry.ts';
import { parseKeyFile } from '../../src/image/key-file.ts';
import { formatTrace, parseTrace, traceChunks } from '../../src/image/trace.ts';
import { openFileSource } from '../../src/imgutil/file-source.ts';
import { type PackedImage, type PackOptions, pack } from '../../src/imgutil/pack.ts';
import { placedFiles } from '../../src/imgutil/placed-files.ts';
import { publishTrace } from '../../src/imgutil/trace-publish.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { noise } from './memory-image.ts';

const { xts } = loadBinding();
let directory: TempDir;
let options: PackOptions;
const at = (...path: string[]) => join(directory.path, ...path);

/** Larger than a chunk of a trace, so that each has its own place; they do not compress. */
const large = ['/usr/bin/init', '/usr/lib/libc.so', '/usr/lib/libssl.so', '/usr/bin/sshd', '/usr/bin/never'];
const boot = ['/usr/bin/sshd', '/usr/bin/init', '/etc/a name with \\ and blanks', '/usr/lib/libc.so'];

function addFile(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(at('tree', path)), { recursive: true });
  writeFileSync(at('tree', path), content);
}

beforeEach(() => {
  directory = makeTempDir('boot-order');
  for (const [index, path] of large.entries()) addFile(path, noise(700_000 + 10_000 * index, index + 1));
  for (let index = 0; index < 50; index++) addFile(`etc/conf.d/${index}.conf`, noise(2_000, 100 + index));
  addFile('etc/a name with \\ and blanks', noise(300_000, 77));
  symlinkSync('/usr/bin', at('tree/bin'));
  symlinkSync('../../usr/lib/libssl.so', at('tree/etc/conf.d/link'));
  options = { sourceDir: at('tree'), outDir: at('public'), compression: 'zstd', verityBlockSize: 65536, xts };
});
afterEach(() => directory.remove());

async function placed({ imagePath, keyPath }: PackedImage): Promise<PlacedFiles> {
  await using source = await openFileSource(imagePath);
  const keys = keyPath === undefined ? [] : [parseKeyFile(readFileSync(keyPath), keyPath)];
  return await placedFiles(source, { keys, xts, chunkSize: 65536 });
}

/** Those with blocks of their own, by where they lie. */
const inOrder = ({ files }: PlacedFiles) =>
  files.files
    .filter(({ blocks }) => blocks.length > 0)
    .sort((a, b) => a.start - b.start)
    .map(({ path }) => path);

function listed(...lines: string[]): string {
  writeFileSync(at('order'), `${lines.join('\n')}\n`);
  return at('order');
}

/** As a node's daemon would have recorded it: these files, whole. */
async function traceOf(image: PackedImage, paths: readonly string[]): Promise<string> {
  const { geometry, files, payloadOffset } = await placed(image);
  const chunks = chunksOfBootOrder(
    paths.map((path) => ({ path })),
    { geometry, payloadOffset, files: { ...files, metadata: [] } },
  );
  return formatTrace({ digest: image.digest, imageSize: image.imageSize, chunkSize: 65536, chunks });
}

const hex = ({ digest }: PackedImage) => digest.slice('sha256:'.length);
const bootOrderOf = (image: PackedImage) => at(`public.private/pending/rootimg-${hex(image)}.paths`);
const publish = (trace: string) => publishTrace(trace, at('public/rootimg.sfs'), { xts });

describe('a boot order as text', () => {
  test('is a path a line, relative to the root or not, and parts of files', () => {
    const text = '# comment\n/usr/bin/init\n\nusr/lib/a b\n./etc/x\n4096 131072 /usr/lib/libc.so\n';
    expect(parseBootOrder(text)).toEqual([
      { path: '/usr/bin/init' },
      { path: '/usr/lib/a b' },
      { path: '/etc/x' },
      { path: '/usr/lib/libc.so', part: { offset: 4096, length: 131072 } },
    ]);
    expect(parseBootOrder(formatBootOrder(parseBootOrder(text)))).toEqual(parseBootOrder(text));
  });

  test('cannot hold a name of two lines, and leaves it out', () => {
    expect(formatBootOrder([{ path: '/a\nb' }, { path: '/c' }])).toBe('/c\n');
  });

  test.each([
    ['/a\n\0\n', /line 2/],
    ['/\n', /line 1/],
    [`/${'x'.repeat(5000)}\n`, /line 1/],
  ])('is refused when a line is no path', (text, message) => {
    expect(() => parseBootOrder(text)).toThrow(message);
  });
});

describe('image pack --boot-order', () => {
  test('lays the files of a list first, one after the other, whatever they are called and by whatever links', async () => {
    const order = listed('/usr/bin/sshd', 'bin/init', '/no/such/file', '/etc', ...boot.slice(2), '/etc/conf.d/link');
    const image = await pack({ ...options, bootOrder: order });
    expect(image.bootOrder).toEqual({ source: order, files: 5, problems: [] });
    const files = await placed(image);
    expect(inOrder(files).slice(0, 5)).toEqual([...boot, '/usr/lib/libssl.so']);
    // The trace and the list have them all by the names that they have in the image.
    const real = [...boot.slice(0, 2), ...boot.slice(2), '/usr/lib/libssl.so'];
    expect(readFileSync(bootOrderOf(image), 'latin1').split('\n')).toEqual([...real, '']);
    const trace = parseTrace(readFileSync(`${image.imagePath}.trace`, 'latin1'), image);
    const items = real.map((path) => ({ path }));
    expect([...traceChunks(trace, files.geometry)]).toEqual([...chunksOfBootOrder(items, files)]);
    // Nothing lies before or between them.
    const sizes = files.files.files.filter(({ path }) => boot.includes(path));
    const first = sizes.find(({ path }) => path === boot[0]);
    expect(first?.start).toBe(96);
  });

  test('makes a trace of them, with what every boot reads before them, so that the first boot is a traced one', async () => {
    const image = await pack({ ...options, bootOrder: listed(...boot) });
    const trace = parseTrace(readFileSync(`${image.imagePath}.trace`, 'latin1'), image);
    const files = await placed(image);
    const items = boot.map((path) => ({ path }));
    const chunks = [...traceChunks(trace, files.geometry)];
    expect(chunks).toEqual([...chunksOfBootOrder(items, files)]);
    // The header and superblock, the tables at the end, then from the start on.
    const last = files.geometry.chunkCount - 1;
    expect([chunks[0], chunks.indexOf(last), chunks.indexOf(1) > chunks.indexOf(last)]).toEqual([0, 1, true]);
    expect(readFileSync(bootOrderOf(image), 'latin1')).toBe(`${boot.join('\n')}\n`);
  });

  test('is reproducible', async () => {
    const sizes: string[] = [];
    for (const outDir of [at('one'), at('two')]) {
      process.env['SOURCE_DATE_EPOCH'] = '1700000000';
      try {
        const { digest } = await pack({ ...options, outDir, xts: undefined, bootOrder: listed(...boot) });
        sizes.push(digest);
      } finally {
        delete process.env['SOURCE_DATE_EPOCH'];
      }
    }
    expect(sizes[0]).toBe(sizes[1]);
  });

  test('takes a trace of an image that lies there', async () => {
    const old = await pack({ ...options, bootOrder: 'none' });
    writeFileSync(at('boot.trace'), await traceOf(old, boot));
    const image = await pack({ ...options, bootOrder: at('boot.trace') });
    expect(inOrder(await placed(image)).slice(0, boot.length)).toEqual(boot);
  });

  test.each([
    ['no such file', () => at('nothing'), /there is no such file/],
    ['a list of which nothing is in the tree', () => listed('/srv/other/bin/init'), /none of its files is in/],
    ['what is no list', () => listed(noise(5_000).toString('latin1')), /is no path/],
    [
      'a trace of an image that is not here',
      () =>
        listed('tetherfs-trace 1', `digest sha256:${'ab'.repeat(32)}`, 'image-size 65536', 'chunk-size 65536', '0 1'),
      /cannot read .*rootimg-(ab){32}\.sfs: no such file/,
    ],
  ])('refuses %s, and changes nothing', async (_what, make, message) => {
    await expect(pack({ ...options, bootOrder: make() })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(message),
    });
    expect(existsSync(at('public'))).toBe(false);
  });

  test('of an lz4 image orders it, and makes no trace', async () => {
    const image = await pack({ ...options, compression: 'lz4', bootOrder: listed(...boot) });
    expect(image.bootOrder).toMatchObject({ files: 4, problems: [expect.stringContaining('lz4')] });
    expect(existsSync(`${image.imagePath}.trace`)).toBe(false);
    expect(readFileSync(bootOrderOf(image), 'latin1')).toBe(`${boot.join('\n')}\n`);
  });
});

describe('what nodes have posted of their boots', () => {
  const told = (image: PackedImage) => at(`public.private/pending/rootimg-${hex(image)}.trace`);

  test('orders the next image, before what anybody has listed or published; what is of no use does not', async () => {
    const old = await pack({ ...options, bootOrder: listed(...boot) });
    const others = ['/usr/lib/libssl.so', ...boot.slice(0, 1)];
    writeFileSync(told(old), await traceOf(old, others));
    const image = await pack(options);
    expect(image.bootOrder.source).toBe(`boots of ${old.digest}`);
    expect(inOrder(await placed(image)).slice(0, 2)).toEqual(others);
    writeFileSync(told(image), 'no trace');
    expect((await pack(options)).bootOrder.source).toBe(image.digest);
  });
});

describe('a trace survives a repack', () => {
  test('of an encrypted image: the next is packed in its order, and has a trace of the same files; nothing public names them', async () => {
    const old = await pack(options);
    expect(old.bootOrder).toEqual({ source: 'none', files: 0, problems: [] });
    expect(await publish(await traceOf(old, boot))).toEqual({
      tracePath: `${old.imagePath}.trace`,
      bootOrderPath: bootOrderOf(old),
    });
    expect(statSync(bootOrderOf(old)).mode & 0o777).toBe(0o600);
    expect(readFileSync(bootOrderOf(old), 'latin1').split('\n')).toEqual([...boot, '']);

    // The next image is another: one file has grown, one has gone, others have come.
    addFile('/usr/bin/init', noise(900_000, 55));
    rmSync(at('tree/usr/lib/libc.so'));
    for (let index = 0; index < 8; index++) addFile(`/usr/a/${index}`, noise(200_000, 200 + index));
    const image = await pack(options);
    const kept = boot.filter((path) => path !== '/usr/lib/libc.so');
    expect(image.bootOrder).toEqual({ source: old.digest, files: 3, problems: [] });
    const files = await placed(image);
    expect(inOrder(files).slice(0, 3)).toEqual(kept);
    const trace = parseTrace(readFileSync(`${image.imagePath}.trace`, 'latin1'), image);
    const items = kept.map((path) => ({ path }));
    expect([...traceChunks(trace, files.geometry)]).toEqual([...chunksOfBootOrder(items, files)]);

    // And the one after it, which nobody has booted either.
    const third = await pack(options);
    expect(third.bootOrder).toEqual({ source: image.digest, files: 3, problems: [] });
    expect(readFileSync(bootOrderOf(third), 'latin1').split('\n')).toEqual([...kept, '']);
    for (const name of readdirSync(at('public'))) {
      if (!name.endsWith('.sfs')) expect(readFileSync(at('public', name), 'latin1')).not.toContain('sshd');
    }
  });

  test('of an image in clear, whose list by path lies beside it', async () => {
    const old = await pack({ ...options, xts: undefined });
    const published = await publish(await traceOf(old, boot));
    expect(published.bootOrderPath).toBe(`${old.imagePath}.paths`);
    expect(statSync(`${old.imagePath}.paths`).mode & 0o777).toBe(0o644);
    const image = await pack({ ...options, xts: undefined });
    expect(inOrder(await placed(image)).slice(0, boot.length)).toEqual(boot);
    expect(existsSync(at('public.private'))).toBe(false);
  });

  test('that was published by an earlier version, as chunks only, with the key that is still there', async () => {
    const old = await pack(options);
    writeFileSync(`${old.imagePath}.trace`, await traceOf(old, boot));
    const image = await pack(options);
    expect(inOrder(await placed(image)).slice(0, boot.length)).toEqual(boot);
  });

  test.each(['xz', 'gzip', 'zstd'] as const)('from an image compressed with %s', async (compression) => {
    const old = await pack({ ...options, compression });
    await publish(await traceOf(old, boot));
    const image = await pack({ ...options, compression });
    expect(inOrder(await placed(image)).slice(0, boot.length)).toEqual(boot);
  });

  test('unless nobody can look into the old image: then it says so, and packs in no order', async () => {
    const old = await pack({ ...options, compression: 'lz4' });
    const trace = formatTrace({ ...old, chunkSize: 65536, chunks: Uint32Array.of(0, 3) });
    expect(await publish(trace)).toMatchObject({ bootOrderPath: undefined, problem: expect.stringContaining('lz4') });
    expect(readFileSync(`${old.imagePath}.trace`, 'latin1')).toBe(trace);
    const image = await pack(options);
    expect(image.bootOrder).toMatchObject({ source: 'none', files: 0, problems: [expect.stringContaining('lz4')] });
  });

  test('published where the private directory is not, with the key from elsewhere: it is made, for its owner alone', async () => {
    const old = await pack(options);
    const trace = await traceOf(old, boot);
    const keyFile = at('elsewhere.key');
    renameSync(old.keyPath ?? '', keyFile);
    rmSync(at('public.private'), { recursive: true });
    expect(await publish(trace)).toMatchObject({
      bootOrderPath: undefined,
      problem: expect.stringContaining('--key-file'),
    });
    const published = await publishTrace(trace, at('public/rootimg.sfs'), { xts, keyFile });
    expect(published.bootOrderPath).toBe(bootOrderOf(old));
    expect(statSync(at('public.private')).mode & 0o777).toBe(0o700);
    symlinkSync('public', at('link'));
    for (const privateDir of [at('public/keys'), at('link/keys')]) {
      await expect(publishTrace(trace, at('public/rootimg.sfs'), { xts, keyFile, privateDir })).rejects.toMatchObject({
        code: 'USAGE',
      });
      expect(existsSync(at('public/keys'))).toBe(false);
    }
  });

  test('although a file’s name has two lines, or an old trace and list are damaged', async () => {
    addFile('/usr/bin/two\nlines', noise(200_000, 99));
    const old = await pack(options);
    writeFileSync(`${old.imagePath}.trace`, await traceOf(old, ['/usr/bin/two\nlines', ...boot]));
    const image = await pack(options);
    expect(inOrder(await placed(image)).slice(0, boot.length)).toEqual(boot);
    writeFileSync(bootOrderOf(image), 'nothing\0');
    const last = await pack(options);
    expect(last.bootOrder).toMatchObject({ source: 'none', problems: [expect.stringContaining('line 1')] });
  });

  test('with none, whatever the old image tells', async () => {
    const old = await pack(options);
    await publish(await traceOf(old, boot));
    const image = await pack({ ...options, bootOrder: 'none' });
    expect(image.bootOrder).toEqual({ source: 'none', files: 0, problems: [] });
    expect(existsSync(`${image.imagePath}.trace`)).toBe(false);
  });
});

describe('what chunks tell of files', () => {
  test('files read whole, files read in part, and neither those beside them nor those that were begun in a chunk of others', async () => {
    const image = await pack({ ...options, bootOrder: listed('/usr/lib/libc.so', '/usr/bin/never', '/usr/bin/sshd') });
    const files = await placed(image);
    const file = files.files.files.find(({ path }) => path === '/usr/bin/never');
    if (file === undefined) throw new Error('it is not there');
    // Its second and third block, and whatever else lies in their chunks.
    const [first = 0, second = 0, third = 0] = file.blocks;
    const start = files.payloadOffset + file.start + first;
    const chunks = [];
    for (let chunk = Math.floor(start / 65536); chunk * 65536 < start + second + third; chunk++) {
      chunks.push(chunkIndex(chunk));
    }
    expect(bootOrderOfChunks(chunks, files)).toEqual([
      { path: '/usr/bin/never', part: { offset: 131072, length: 262144 } },
    ]);
    const back = chunksOfBootOrder(bootOrderOfChunks(chunks, files), {
      ...files,
      files: { ...files.files, metadata: [] },
    });
    expect([...back]).toEqual(chunks);
  });

  test('all files of an image whose every chunk was touched', async () => {
    const image = await pack(options);
    const files = await placed(image);
    const all = Array.from({ length: files.geometry.chunkCount }, (_, chunk) => chunkIndex(chunk));
    const found = bootOrderOfChunks(all, files);
    expect(found.map(({ path }) => path).sort()).toEqual(files.files.files.map(({ path }) => path).sort());
    expect(found.every(({ part }) => part === undefined)).toBe(true);
  });
});

describe('build-info', () => {
  test('keeps what others wrote into it, and tells no path of this machine', async () => {
    mkdirSync(at('public'));
    writeFileSync(at('public/build-info'), 'PACKEDFROM=/srv/old\nBOOTORDER=old\nBASEPROFILE=base\n');
    const image = await pack({ ...options, bootOrder: listed(...boot) });
    const told = readFileSync(at('public/build-info'), 'utf8').replace(
      /^PACKDATE=\d{4}-\d\d-\d\dT\d\d:\d\d$/m,
      'PACKDATE=now',
    );
    expect(told).toBe(
      `BOOTORDER=order\nIMAGE=rootimg-${hex(image)}.sfs\nPACKEDFROM=tree\nPACKDATE=now\nBASEPROFILE=base\n`,
    );
  });
});

describe('keys', () => {
  test('of older images stay under their digests, also that of an image which an earlier version packed', async () => {
    const first = await pack(options);
    const key = readFileSync(first.keyPath ?? '');
    rmSync(at(`public.private/pending/rootimg-${hex(first)}.key`));
    const second = await pack(options);
    const keyOf = (image: PackedImage) => at(`public.private/pending/rootimg-${hex(image)}.key`);
    expect(readFileSync(keyOf(first)).equals(key)).toBe(true);
    expect(readFileSync(keyOf(second)).equals(readFileSync(second.keyPath ?? ''))).toBe(true);
    expect(statSync(keyOf(first)).mode & 0o777).toBe(0o600);
    execFileSync('cmp', [keyOf(second), at('public.private/pending/rootimg.key')]);
  });

  test('that open another image are not filed under it', async () => {
    const first = await pack(options);
    const key = at(`public.private/pending/rootimg-${hex(first)}.key`);
    rmSync(key);
    writeFileSync(first.keyPath ?? '', `aes-xts-plain64\n${'0f'.repeat(32)}\n`);
    await pack(options);
    expect(existsSync(key)).toBe(false);
  });
});
