/** A member whose packets vanish, both ways, without a word: while it is read from, and as the first in the list while mounting. */
import { setTimeout as sleep } from 'node:timers/promises';
import { longestWait, waitedSince } from './readers.ts';
import type { Scenario } from './scenario.ts';
import { noError, readThroughFault } from './strike.ts';

const avoidedAfterMs = 1_000;

export const blackHole: Scenario[] = [
  {
    name: 'black-hole',
    async run(makeSite) {
      await using site = await makeSite();
      let requestsThen = 0;
      const { healthy, line, reads, struckAt } = await readThroughFault(site, {
        afterMs: 4_000,
        strike: ({ link }) => link.silence(),
        async watch(member) {
          await sleep(avoidedAfterMs);
          requestsThen = (await site.line(member)).requests;
        },
      });
      return [
        { what: 'longest wait', value: longestWait(waitedSince(reads, struckAt)), unit: 'ms', atMost: 250 },
        { what: 'longest wait before, all well', value: longestWait(healthy), unit: 'ms', digits: 1 },
        { what: 'spans asked of it 1 s later and on', value: line.requests - requestsThen, unit: '', atMost: 0 },
        noError(reads),
      ];
    },
  },
  {
    name: 'black-hole-mounting',
    async run(makeSite) {
      await using well = await makeSite();
      const wellMs = await well.mount();
      await well[Symbol.asyncDispose]();
      await using site = await makeSite();
      await site.members[0]?.link.silence();
      return [
        { what: 'ready after', value: await site.mount(), unit: 'ms', atMost: 1_000 },
        { what: 'ready with all well', value: wellMs, unit: 'ms' },
      ];
    },
  },
];
