import { expect, it } from 'vitest';
import { Settling } from '../../src/cache/settling.ts';
import { chunkIndex } from '../../src/image/geometry.ts';

const blame = { corrupt() {} };

it('a slot is settled once', () => {
  const settling = new Settling();
  settling.handedOver(chunkIndex(7), 3, blame);
  expect(settling.settled(chunkIndex(7), 3)).toBe(blame);
  expect(settling.settled(chunkIndex(7), 3)).toBeUndefined();
});

it('late word of a surplus copy does not settle the chunk for which its slot is in use by then', () => {
  const settling = new Settling();
  settling.handedOver(chunkIndex(7), 3, blame);
  // Native freed slot 3 as surplus; it was taken, filled with chunk 8 and handed over before the event of chunk 7 was read.
  settling.handedOver(chunkIndex(8), 3, blame);
  expect(settling.settled(chunkIndex(7), 3)).toBeUndefined();
  expect(settling.settled(chunkIndex(8), 3)).toBe(blame);
});
