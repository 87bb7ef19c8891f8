import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChunkSet } from '../../src/cache/chunk-set.ts';
import { chunkIndex } from '../../src/image/geometry.ts';

it('holds what was added, as a Set does', () => {
  const chunks = fc.array(fc.integer({ min: 0, max: 99 }).map(chunkIndex));
  fc.assert(
    fc.property(chunks, (added) => {
      const set = new ChunkSet(100);
      const truth = new Set(added);
      for (const chunk of added) set.add(chunk);
      expect(set.size).toBe(truth.size);
      for (let chunk = 0; chunk < 100; chunk++) expect(set.has(chunkIndex(chunk))).toBe(truth.has(chunkIndex(chunk)));
    }),
  );
});

it('knows whether it has all of a run, and forgets all', () => {
  const set = new ChunkSet(20);
  for (let chunk = 3; chunk < 12; chunk++) set.add(chunkIndex(chunk));
  expect(set.hasAll(3, 9)).toBe(true);
  expect(set.hasAll(2, 9)).toBe(false);
  expect(set.hasAll(4, 9)).toBe(false);
  set.clear();
  expect(set.size).toBe(0);
  expect(set.hasAll(5, 1)).toBe(false);
});
