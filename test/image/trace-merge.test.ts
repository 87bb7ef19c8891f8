import { describe, expect, test } from 'vitest';
import { chunkIndex } from '../../src/image/geometry.ts';
import { parseTrace, type Trace } from '../../src/image/trace.ts';
import { mergeTraces } from '../../src/image/trace-merge.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const boot = (chunks: number[], changes: Partial<Trace> = {}): Trace => ({
  digest,
  imageSize: 100 * 65536,
  chunkSize: 65536,
  runs: chunks.map((first) => ({ first: chunkIndex(first), count: 1 })),
  ...changes,
});
const merged = (...traces: Trace[]) =>
  parseTrace(mergeTraces(traces)).runs.flatMap(({ first, count }) =>
    Array.from({ length: count }, (_, i) => first + i),
  );

describe('traces of several boots', () => {
  test('make one of what more than half of them read', () => {
    expect(merged(boot([1, 2, 3]), boot([1, 2, 9]), boot([2, 1, 3]))).toEqual([1, 2, 3]);
    expect(merged(boot([1, 2]), boot([1, 3]))).toEqual([1]);
  });

  test('in the order of the middle one, so that a boot that was another does not count', () => {
    const usual = [50, 10, 40, 20, 30];
    expect(merged(boot(usual), boot([20, 30, 40, 50, 10]), boot(usual))).toEqual(usual);
  });

  test('in chunks of the smallest size', () => {
    const halves = boot([0, 1, 4, 5], { chunkSize: 32768 });
    expect(parseTrace(mergeTraces([halves, boot([0, 2])]))).toMatchObject({
      chunkSize: 32768,
      runs: [
        { first: 0, count: 2 },
        { first: 4, count: 2 },
      ],
    });
  });

  test('of different images are refused', () => {
    expect(() => mergeTraces([boot([1]), boot([1], { digest: `sha256:${'cd'.repeat(32)}` })])).toThrow(
      /different images/,
    );
    expect(() => mergeTraces([boot([1]), boot([1], { imageSize: 65536 })])).toThrow(/different images/);
    expect(() => mergeTraces([])).toThrow(/no trace/);
  });
});
