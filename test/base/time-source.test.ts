import { expect, test } from 'vitest';
import { systemTime } from '../../src/base/time-source.ts';

// setTimeout takes what does not fit into 31 bits for 1 ms.
test.each([2 ** 31, 2 ** 33, 1e15])('%s ms are not over before 20 are', async (ms) => {
  let over = false;
  const cancel = systemTime.after(ms, () => {
    over = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(over).toBe(false);
  cancel();
});
