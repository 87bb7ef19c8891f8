import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunksOf, coalesce, cut } from '../../src/cache/spans.ts';
import { chunkIndex } from '../../src/image/geometry.ts';

const chunkSets = fc.uniqueArray(fc.integer({ min: 0, max: 200 })).map((chunks) => chunks.map(chunkIndex));

describe('spans', () => {
  it('hold each chunk once, in order, none longer than allowed, and neighbours only apart when a span is full', () => {
    fc.assert(
      fc.property(chunkSets, fc.integer({ min: 1, max: 10 }), (chunks, most) => {
        const spans = coalesce(chunks, most);
        expect(spans.flatMap(chunksOf)).toEqual([...chunks].sort((a, b) => a - b));
        for (const [index, span] of spans.entries()) {
          expect(span.count).toBeLessThanOrEqual(most);
          const next = spans[index + 1];
          if (next && next.first === span.first + span.count) expect(span.count).toBe(most);
        }
      }),
    );
  });

  it('are cut into pieces that meet only at multiples of the size', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 16 }),
        (first, count, size) => {
          const span = { first: chunkIndex(first), count };
          const pieces = cut(span, size);
          expect(pieces.flatMap(chunksOf)).toEqual(chunksOf(span));
          for (const piece of pieces.slice(1)) expect(piece.first % size).toBe(0);
        },
      ),
    );
  });
});
