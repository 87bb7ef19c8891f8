/**
 * Faults under a reader: members that break, vanish, crawl, lie and come back, and what the reader has to wait for
 *
 * Three members on emulated links, the daemon with defaults and the digest, a reader process that measures each read's wait and compares
 * each byte. Each scenario is one fault (bench/faults); a figure counts as reached when every run reached it. `--only NAME` (again for more),
 * `--json FILE` for the same figures as JSON, `--runs N`. The exit status tells whether it could be measured, not what came of it.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { blackHole } from './faults/black-hole.ts';
import { brokenMember } from './faults/broken-member.ts';
import { changedFile } from './faults/changed-file.ts';
import { everyMember } from './faults/every-member.ts';
import { healthy } from './faults/healthy.ts';
import { herd } from './faults/herd.ts';
import { makeFaultImages } from './faults/images.ts';
import { restoredMember } from './faults/restored.ts';
import type { Figure, Scenario } from './faults/scenario.ts';
import { FaultSite } from './faults/site.ts';
import { slowMember } from './faults/slow-member.ts';
import { printRows, type Row, rowsOf, verdict } from './faults/table.ts';
import { throughputScenarios } from './faults/throughput.ts';

/** Larger than the cache: what is read again is long gone from it. */
const imageMiB = 512;
const scenarios: readonly Scenario[] = [
  ...[...healthy, ...brokenMember, ...blackHole, ...slowMember, ...throughputScenarios],
  ...[...changedFile, ...restoredMember, ...herd, ...everyMember],
];

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    runs: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const unknown = options.only.filter((name) => !scenarios.some((scenario) => scenario.name === name));
const runs = Number(options.runs);
if (unknown.length > 0 || !Number.isInteger(runs) || runs < 1) {
  console.error(`faults: --runs is a positive number, --only one of ${scenarios.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const chosen = scenarios.filter(({ name }) => options.only.length === 0 || options.only.includes(name));

using directory = makeTempDir('bench');
const images = await makeFaultImages(directory.path, imageMiB << 20);
const rows: Row[] = [];
for (const { name, mostRuns = runs, run } of chosen) {
  const seen: Figure[][] = [];
  while (seen.length < Math.min(runs, mostRuns)) seen.push(await run((settings) => FaultSite.start(images, settings)));
  const found = rowsOf(name, seen);
  for (const row of found) {
    const shown = row.values.map((value) => value.toFixed(row.digits)).join(' ');
    console.log(`${name}: ${row.what}: ${shown} ${row.unit} ${verdict(row)}`.trimEnd());
  }
  rows.push(...found);
}
console.log();
printRows(rows);
const missed = rows.filter((row) => verdict(row).startsWith('NO'));
console.log(
  missed.length === 0 ? '\nevery figure was reached' : `\n${missed.length} figures were NOT reached in every run`,
);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ runs, rows }, null, 2)}\n`);
