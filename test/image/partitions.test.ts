import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource, type ImageSource, pieces } from '../../src/image/image-source.ts';
import { examineCapture, joinPartitions, listPartitions } from '../../src/image/partitions.ts';
import { type Captured, capture } from './captured.ts';
import { bigEndian, memoryImage } from './memory-image.ts';

const root: Captured = {
  mountPoint: '/',
  json: '{"mount": "/"}',
  filesystem: 'xfs',
  device: '/dev/mapper/rhel-root',
  minimumSize: 2 ** 32,
  initialSize: 2 ** 40,
  data: Buffer.alloc(8192, 'r'),
};

const name = fc.stringMatching(/^[ -~äß]{0,40}$/);
const captured: fc.Arbitrary<Captured> = fc.record({
  mountPoint: name,
  json: fc.json(),
  filesystem: name,
  device: name,
  minimumSize: fc.maxSafeNat(),
  initialSize: fc.maxSafeNat(),
  data: fc.integer({ min: 1, max: 9000 }).map((length) => Buffer.alloc(length, 'd')),
});

describe('joining partitions', () => {
  test('makes what confluent makes of them, however it is read', async () => {
    const some = fc.tuple(fc.array(captured, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 5000 }));
    await fc.assert(
      fc.asyncProperty(some, async ([partitions, length]) => {
        const joined = joinPartitions(partitions.map((one) => ({ ...one, squashfs: bytesSource(one.data) })));
        const read: Uint8Array[] = [];
        for await (const piece of pieces(joined, length)) read.push(Buffer.from(piece));
        expect(Buffer.concat(read).equals(capture(partitions).bytes)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('refuses what no reader takes', () => {
    const part = { ...root, squashfs: bytesSource(root.data) };
    for (const wrong of ['a\nb', '/'.repeat(4097)])
      expect(() => joinPartitions([{ ...part, mountPoint: wrong }])).toThrow('no capture can have a partition of');
  });
});

describe('a multi-partition capture', () => {
  test('lists its partitions and where their data lies', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(captured, { minLength: 1, maxLength: 4 }), async (partitions) => {
        const { bytes, offsets } = capture(partitions);
        const expected = partitions.map(({ data, json: _json, ...rest }, index) => ({
          ...rest,
          size: data.length,
          offset: offsets[index],
        }));
        expect(await listPartitions(memoryImage(bytes))).toEqual(expected);
        expect(offsets.every((offset) => offset % 4096 === 0)).toBe(true);
      }),
    );
  });

  test('cut off anywhere before its last byte of data is refused, or lists what is whole', async () => {
    const { bytes, offsets } = capture([root, { ...root, mountPoint: '/boot' }]);
    const [, second = 0] = offsets;
    const endOfFirst = (offsets[0] ?? 0) + root.data.length;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: second + root.data.length - 1 }), async (length) => {
        const listing = listPartitions(memoryImage(bytes.subarray(0, length)));
        if (length === endOfFirst) expect(await listing).toHaveLength(1);
        else await expect(listing).rejects.toThrow(expect.objectContaining({ code: 'IMAGE_FORMAT' }));
      }),
    );
  });

  test('with any bytes changed is listed or refused, but reads nothing out of bounds and ends', async () => {
    const { bytes } = capture([root]);
    await fc.assert(
      fc.asyncProperty(fc.nat(150), fc.uint8Array({ minLength: 1, maxLength: 8 }), async (offset, change) => {
        const hostile = Buffer.from(bytes);
        hostile.set(change, 32 + offset);
        await listPartitions(memoryImage(hostile)).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'IMAGE_FORMAT' });
        });
      }),
    );
  });

  test('is judged by its first bytes, as far as they tell', () => {
    const { bytes } = capture([root]);
    for (const head of [bytes.subarray(0, 40), bytes.subarray(0, 8192)]) {
      expect(() => examineCapture(head, bytes.length)).not.toThrow();
    }
    for (const size of [31, 40, 4096, bytes.length - 1]) {
      const examined = () => examineCapture(bytes.subarray(0, Math.min(size, 8192)), size);
      expect(examined).toThrow(expect.objectContaining({ code: 'IMAGE_FORMAT' }));
    }
  });

  test('that wants a huge name is refused before anything is allocated for it', async () => {
    const start = capture([]).bytes;
    const hostile = Buffer.concat([start, bigEndian(2, 1), Buffer.from('/'), bigEndian(4, 0xffffffff)]);
    // A description is read in one go.
    const there = Buffer.concat([hostile, Buffer.alloc(100_000)]);
    const source: ImageSource = { ...memoryImage(there), size: 2 ** 40 };
    await expect(listPartitions(source)).rejects.toThrow(/4294967295 bytes/);
  });

  test('whose names would steer a terminal is refused', async () => {
    const { bytes } = capture([{ ...root, mountPoint: '/\x1b[2J' }]);
    await expect(listPartitions(memoryImage(bytes))).rejects.toThrow(/control characters/);
  });

  test('of endless partitions is refused', async () => {
    const { bytes } = capture(Array.from({ length: 129 }, () => ({ ...root, data: Buffer.alloc(1) })));
    await expect(listPartitions(memoryImage(bytes))).rejects.toThrow(/more than 128/);
  });
});
