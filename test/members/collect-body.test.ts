/** The body of a small answer, however a server sends it. */
import { expect, test } from 'vitest';
import { type BodyEvents, collectBody } from '../../src/members/collect-body.ts';
import { ManualTime } from '../support/manual-time.ts';

test('costs no more than its bytes when it comes a byte at a time', async () => {
  const size = 1 << 20;
  const piece = Uint8Array.of(7);
  const before = process.memoryUsage().heapUsed;
  let events: BodyEvents | undefined;
  const collected = collectBody('member', new ManualTime(), { stallMs: 1_000, limitMs: 5_000 }, (given) => {
    events = given;
    return { abort() {} };
  });
  for (let count = 0; count < size; count++) events?.onData(piece);
  // An object a piece would be some 230 MB of what cannot be collected.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(100e6);
  events?.onEnd();
  const { bytes } = await collected;
  expect(bytes.length).toBe(size);
  expect(bytes.every((byte) => byte === 7)).toBe(true);
});
