import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReadAhead } from '../../src/cache/read-ahead.ts';
import { chunkIndex } from '../../src/image/geometry.ts';

const limits = { chunkCount: 10_000, initial: 4, slack: 16, streams: 4 };
const access = (first: number, count = 1) => ({ first: chunkIndex(first), count });

describe('read-ahead', () => {
  it('asks for nothing on the first access of a stream', () => {
    expect(new ReadAhead(limits).accessed(access(100), 64)).toBeUndefined();
  });

  it('begins when a second access follows on, right behind it', () => {
    const readAhead = new ReadAhead(limits);
    readAhead.accessed(access(100), 64);
    expect(readAhead.accessed(access(101), 64)).toEqual({ first: 102, count: 4 });
  });

  it('doubles its window while access stays sequential, up to the widest allowed', () => {
    const readAhead = new ReadAhead(limits);
    const reach: number[] = [];
    for (let chunk = 0; chunk < 8; chunk++) {
      const window = readAhead.accessed(access(chunk), 32);
      if (window) reach.push(window.first + window.count - (chunk + 1));
    }
    expect(reach).toEqual([4, 8, 16, 32, 32, 32, 32]);
  });

  it('halves its window when an access skips far ahead within it', () => {
    const readAhead = new ReadAhead(limits);
    for (let chunk = 0; chunk < 6; chunk++) readAhead.accessed(access(chunk), 64);
    // The window is 64 and ends at chunk 70; beyond the slack of 16 an access is a skip.
    readAhead.accessed(access(40), 64);
    expect(readAhead.accessed(access(41), 32)).toEqual({ first: 73, count: 1 });
  });

  it('follows several streams at once', () => {
    const readAhead = new ReadAhead(limits);
    for (const start of [0, 2000, 4000]) readAhead.accessed(access(start), 64);
    for (const start of [0, 2000, 4000]) {
      expect(readAhead.accessed(access(start + 1), 64)).toEqual({ first: start + 2, count: 4 });
    }
  });

  it('takes accesses a little behind for the same stream: the kernel reads out of order', () => {
    const readAhead = new ReadAhead(limits);
    for (const chunk of [0, 1, 2, 3]) readAhead.accessed(access(chunk), 64);
    expect(readAhead.accessed(access(2), 64)).toBeUndefined();
    expect(readAhead.accessed(access(4), 64)).toBeDefined();
  });

  it('never asks twice for a chunk of one sequential run, and never beyond the image', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 60 }),
        fc.integer({ min: 0, max: 100 }),
        (chunkCount, counts, widest) => {
          const readAhead = new ReadAhead({ ...limits, chunkCount });
          const asked = new Set<number>();
          let next = 0;
          for (const count of counts) {
            if (next + count > chunkCount) break;
            const window = readAhead.accessed(access(next, count), widest);
            next += count;
            for (let chunk = window?.first ?? 0; window && chunk < window.first + window.count; chunk++) {
              expect(asked.has(chunk)).toBe(false);
              expect(chunk).toBeLessThan(chunkCount);
              expect(chunk).toBeGreaterThanOrEqual(next);
              expect(chunk).toBeLessThan(next + widest);
              asked.add(chunk);
            }
          }
        },
      ),
    );
  });
});
