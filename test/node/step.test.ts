/** What a step of the boot does when it fails. */
import { expect, it } from 'vitest';
import { TetherfsError, UsageError } from '../../src/base/errors.ts';
import { Steps } from '../../src/node/step.ts';

function watchedSteps() {
  const said: string[] = [];
  return { steps: new Steps({ say: (line) => void said.push(line) }, new AbortController().signal), said };
}

it('is tried again until it succeeds, in one line each; what it took is kept', async () => {
  const { steps, said } = watchedSteps();
  let tries = 0;
  const result = await steps.run('squashfs', async () => {
    tries += 1;
    if (tries < 3) throw new TetherfsError('PROGRAM', `losetup: no such device ${tries}`);
    return 'there';
  });
  expect(result).toBe('there');
  expect(said).toEqual([
    expect.stringMatching(/^squashfs: losetup: no such device 1; trying again in \d+\.\d s$/),
    expect.stringMatching(/^squashfs: losetup: no such device 2; trying again in \d+\.\d s$/),
  ]);
  expect(steps.records).toEqual([{ name: 'squashfs', began: expect.any(Number), ended: expect.any(Number) }]);
});

it.each([
  new UsageError('tetherfs.zram=: give 1% to 400%'),
  new TetherfsError('MEMORY_SHORT', 'too little memory'),
  new TetherfsError('IMAGE_TOO_LARGE', 'it does not fit'),
  new TetherfsError('KEY_FILE', 'not a key'),
  new TetherfsError('IMAGE_KIND', 'no root file system'),
  new TetherfsError('INITRAMFS', 'dmsetup is not in the initramfs'),
  new TetherfsError('ZRAM', 'comp_algorithm does not take lzo5'),
])('what no second try mends ends the boot: $message', async (error) => {
  const { steps, said } = watchedSteps();
  await expect(
    steps.run('image', () => {
      throw error;
    }),
  ).rejects.toBe(error);
  expect(said).toEqual([]);
  expect(steps.records).toEqual([]);
});
