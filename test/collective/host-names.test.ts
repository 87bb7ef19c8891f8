import { expect, it } from 'vitest';
import { HostNames } from '../../src/collective/host-names.ts';
import { waitUntil } from '../support/wait-until.ts';

it('a name is looked up once for all who ask for it; one that nobody knows has no address', async () => {
  let asked = 0;
  const names = new HostNames(async (name) => {
    asked++;
    if (name === 'n1') return ['10.0.0.1'];
    throw new Error('ENOTFOUND');
  });
  const answers = await Promise.all(['n1', 'n1', 'n2', 'n1', 'n2'].map((name) => names.addresses(name)));
  expect(answers).toEqual([['10.0.0.1'], ['10.0.0.1'], [], ['10.0.0.1'], []]);
  expect(asked).toBe(2);
});

it('name servers that do not answer hold up nobody for long, and two look-ups at once at most', async () => {
  const waiting: (() => void)[] = [];
  const names = new HostNames(
    (name) => new Promise((resolve) => waiting.push(() => resolve([`10.0.0.${name.slice(1)}`]))),
  );
  const asked = Array.from({ length: 20 }, (_, index) => names.addresses(`n${index}`));
  expect(await Promise.all(asked)).toEqual(asked.map(() => []));
  expect(waiting).toHaveLength(2);
  for (const answer of waiting.splice(0)) answer();
  // What comes late is known from then on.
  await waitUntil('the next are looked up', () => waiting.length === 2);
  expect(await names.addresses('n0')).toEqual(['10.0.0.0']);
});
