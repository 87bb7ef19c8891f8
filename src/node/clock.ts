/** The clock, good enough for TLS and no better: a machine without a battery begins in 1970, when no certificate was valid. */

import { run } from './programs.ts';
import type { BootConsole } from './step.ts';

/** This was not written before: whoever's clock says so has none. */
const earliest = Date.parse('2026-01-01T00:00:00Z');

/** @param time of a member, ms since 1970: nobody vouches for it, so it is believed by machines that know nothing better alone. */
export async function correctClock(time: number, console: BootConsole): Promise<void> {
  if (Date.now() >= earliest || time < earliest) return;
  try {
    await run('date', ['-u', '-s', `@${Math.floor(time / 1000)}`], { package: 'coreutils' });
    console.say('the clock was years behind: now it is what a member has told');
  } catch {
    console.say('the clock is wrong, and cannot be set: certificates may not be believed');
  }
}
