/**
 * A reader of a mount, a process of its own: reads past the page cache, what nobody has read lately, measures each read's wait and
 * compares each byte with the truth. Is told what to read by its first argument (JSON, `Reading`), reports to its parent, and ends with it.
 */
import { constants, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { clock, type Read, type Reading, type ReadVerdict } from './reading.ts';

const blockBytes = 131_072;
const pageBytes = 4_096;
const sequentialBytes = 1_048_576;
const reportMs = 25;

const reading: Reading = JSON.parse(process.argv[2] ?? '');
const file = await open(reading.file, constants.O_RDONLY | constants.O_DIRECT);
const truth = await open(reading.truth, 'r');
const { size } = await truth.stat();
const done: Read[] = [];
const underWay = new Set<{ startedAt: number; bytes: number }>();
let stopped = false;

/** Where and how much to read next, for ever. The order stays the same, so that what comes again was not read for longest. */
function* randomRanges(): Generator<[number, number]> {
  const order = Array.from({ length: Math.floor(size / blockBytes) }, (_, block) => ({ block, lot: Math.random() }));
  order.sort((a, b) => a.lot - b.lot);
  for (;;) {
    for (const { block } of order) {
      const pages = 1 + Math.floor((Math.random() * blockBytes) / pageBytes);
      const first = Math.floor(Math.random() * (blockBytes / pageBytes - pages + 1));
      yield [block * blockBytes + first * pageBytes, pages * pageBytes];
    }
  }
}

function* sequentialRanges(): Generator<[number, number]> {
  for (;;) {
    for (let at = 0; at + sequentialBytes <= size; at += sequentialBytes) yield [at, sequentialBytes];
  }
}

function check(found: Buffer, bytesRead: number, offset: number, right: Buffer): ReadVerdict {
  if (bytesRead < found.length) return 'short';
  readSync(truth.fd, right, 0, found.length, offset);
  return found.equals(right.subarray(0, found.length)) ? 'right' : 'wrong';
}

async function readOn(from: FileHandle, ranges: Iterator<[number, number]>): Promise<void> {
  const buffer = Buffer.alloc(sequentialBytes);
  const right = Buffer.alloc(sequentialBytes);
  while (!stopped) {
    const [offset, bytes] = ranges.next().value;
    const part = buffer.subarray(0, bytes).fill(0);
    const mark = { startedAt: clock(), bytes };
    underWay.add(mark);
    const bytesRead = await from.read(part, 0, bytes, offset).then(
      (result) => result.bytesRead,
      () => undefined,
    );
    const waitMs = clock() - mark.startedAt;
    underWay.delete(mark);
    const verdict = bytesRead === undefined ? 'error' : check(part, bytesRead, offset, right);
    done.push({ ...mark, waitMs, verdict });
    if (reading.pauseMs > 0) await sleep(reading.pauseMs * (0.5 + Math.random()));
  }
}

function report(): void {
  process.send?.(done.splice(0));
}

process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', () => {
  stopped = true;
  const unfinished = [...underWay].map((mark): Read => {
    return { ...mark, waitMs: clock() - mark.startedAt, verdict: 'unfinished' };
  });
  done.push(...unfinished);
  process.send?.(done.splice(0), () => process.disconnect?.());
});
setInterval(report, reportMs);
const ranges = reading.order === 'random' ? randomRanges() : sequentialRanges();
for (let i = 0; i < reading.readers; i++) void readOn(file, ranges);
