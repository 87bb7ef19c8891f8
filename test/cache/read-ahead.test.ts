import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReadAhead } from '../../src/cache/read-ahead.ts';
import { chunkIndex } from '../../src/image/geometry.ts';

const limits = { chunkCount: 10_000, slack: 16, streams: 4, batch: 8 };
/** Members so near that nothing is got on credit. */
const near = { widest: 64, onCredit: 0 };
const far = { widest: 512, onCredit: 40 };

/** Readers that want chunk after chunk, and what has been got in advance for them. */
class Reader {
  readonly got = new Set<number>();
  readonly missed: number[] = [];
  readonly #readAhead: ReadAhead;
  readonly #means: typeof near;
  /** What was got in advance has not come yet when it is wanted. */
  waits = false;

  constructor(means = near, changes: Partial<typeof limits> = {}) {
    this.#readAhead = new ReadAhead({ ...limits, ...changes });
    this.#means = means;
  }

  /** @returns what is got in advance because of it. */
  read(first: number, count = 1): number[] {
    const window: number[] = [];
    for (let chunk = first; chunk < first + count; chunk++) {
      const foreseen = !this.got.has(chunk) ? 'not' : this.waits ? 'awaited' : 'there';
      if (foreseen === 'not') this.missed.push(chunk);
      const span = this.#readAhead.accessed({ first: chunkIndex(chunk), count: 1, foreseen }, this.#means);
      for (let next = span?.first ?? 0; span && next < span.first + span.count; next++) window.push(next);
    }
    for (const chunk of window) {
      expect(this.got.has(chunk), `chunk ${chunk} is got twice`).toBe(false);
      this.got.add(chunk);
    }
    return window;
  }
}

describe('read-ahead', () => {
  it('asks for nothing on the first access of a stream', () => {
    expect(new Reader().read(100)).toEqual([]);
    expect(new Reader(far).read(100)).toEqual([]);
  });

  it('begins when others follow on, right behind them', () => {
    const reader = new Reader();
    reader.read(100);
    reader.read(101);
    expect(reader.read(102)).toEqual([103]);
  });

  it('is twice as far ahead each time that a reader had to wait, up to the widest allowed', () => {
    const reader = new Reader();
    reader.waits = true;
    const distances: number[] = [];
    for (let chunk = 0; chunk < 300; chunk++) {
      reader.read(chunk);
      distances.push(Math.max(chunk, ...reader.got) - chunk);
    }
    expect(reader.missed.length).toBeLessThan(8);
    expect(distances[20]).toBeGreaterThanOrEqual(8);
    expect(distances[40]).toBeGreaterThanOrEqual(20);
    expect(Math.max(...distances)).toBe(64);
    expect(Math.min(...distances.slice(140))).toBeGreaterThanOrEqual(64 - 8);
  });

  it('is no further ahead than it takes to be there in time, from near members', () => {
    const reader = new Reader();
    for (let chunk = 0; chunk < 24; chunk++) reader.read(chunk);
    expect(Math.max(...reader.got)).toBeLessThan(24 + 3);
    // A long stream has whole requests all the same.
    for (let chunk = 24; chunk < 200; chunk++) reader.read(chunk);
    const distance = Math.max(...reader.got) - 199;
    expect(distance).toBeGreaterThanOrEqual(8);
    expect(distance).toBeLessThanOrEqual(4 * 8);
  });

  it('gets what it gets in requests of the usual size once it is ahead', () => {
    const reader = new Reader({ ...near, widest: 512 });
    for (let chunk = 0; chunk < 100; chunk++) reader.read(chunk);
    for (let chunk = 100; chunk < 200; chunk++) {
      const { length } = reader.read(chunk);
      expect(length === 0 || length >= 8).toBe(true);
    }
  });

  it('costs nothing where access is random, from near members', () => {
    const reader = new Reader();
    for (let turn = 0; turn < 500; turn++) reader.read((turn * 7919) % 10_000);
    expect(reader.got.size).toBeLessThan(10);
  });

  it('leaves behind no more than was read where files of some size are read, each somewhere else', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 20, maxLength: 100 }), (lengths) => {
        const reader = new Reader();
        let read = 0;
        for (const [file, length] of lengths.entries()) {
          reader.read(file * 100, length);
          read += length;
        }
        expect(reader.got.size - (read - reader.missed.length)).toBeLessThanOrEqual(read);
      }),
    );
  });

  it('gets far chunks on credit as soon as access is in order, because a round trip takes as long', () => {
    const reader = new Reader(far);
    reader.read(100);
    // Up to chunk 136, where requests meet.
    expect(reader.read(101)).toHaveLength(34);
    expect(reader.read(102)).toEqual([]);
  });

  it('gives less and less credit to guesses that prove wrong, and gives it again when they prove right', () => {
    const reader = new Reader(far, { chunkCount: 10_000_000 });
    let at = 0;
    const next = () => {
      reader.read(at, 1);
      const { length } = reader.read(at + 1, 1);
      at += 1_000;
      return length;
    };
    const first = next();
    for (let turn = 0; turn < 200; turn++) next();
    expect(next()).toBeLessThan(first / 4);
    for (let chunk = 0; chunk < 4_000; chunk++) reader.read(at++);
    at += 1_000;
    expect(next()).toBe(first);
  });

  it('follows several streams at once', () => {
    const reader = new Reader();
    for (let chunk = 0; chunk < 2; chunk++) for (const start of [0, 2000, 4000]) reader.read(start + chunk);
    for (const start of [0, 2000, 4000]) expect(reader.read(start + 2)).toEqual([start + 3]);
  });

  it('takes accesses a little behind for the same stream: the kernel reads out of order', () => {
    const reader = new Reader();
    for (const chunk of [0, 2, 1, 4, 3, 6, 5, 8, 7]) reader.read(chunk);
    expect(reader.got.size).toBeGreaterThan(0);
    expect(Math.min(...reader.got)).toBeGreaterThan(2);
  });

  it('never asks twice for a chunk of one sequential run, and never beyond the image or the widest allowed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 60 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 100 }),
        (chunkCount, counts, widest, onCredit) => {
          const reader = new Reader({ widest, onCredit }, { chunkCount });
          let next = 0;
          for (const count of counts) {
            if (next + count > chunkCount) break;
            const window = reader.read(next, count);
            next += count;
            for (const chunk of window) {
              expect(chunk).toBeLessThan(chunkCount);
              expect(chunk).toBeLessThan(next + widest);
            }
          }
        },
      ),
    );
  });
});
