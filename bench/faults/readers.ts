/** The reader process as a scenario has it: started, asked what it has seen, ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { quantile } from '../support/figures.ts';
import type { Read, Reading } from './reading.ts';

const program = fileURLToPath(new URL('reader.ts', import.meta.url));
/** A read that ends as usual when it is told to stop is none that hangs. */
const unfinishedMs = 1_000;

export class Reader implements AsyncDisposable {
  readonly reads: Read[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(reading: Reading) {
    this.#child = fork(program, [JSON.stringify(reading)], {
      env: { ...process.env, UV_THREADPOOL_SIZE: String(Math.max(4, reading.readers)) },
    });
    this.#ended = once(this.#child, 'exit');
    this.#child.on('message', (reads: Read[]) => this.reads.push(...reads));
  }

  /** Ends it; `reads` is complete then, with what was still waiting. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.send('stop');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** Those begun at or after `from` and before `until`. */
export function begunBetween(reads: readonly Read[], from: number, until = Number.POSITIVE_INFINITY): Read[] {
  return reads.filter(({ startedAt }) => startedAt >= from && startedAt < until);
}

/** Those that waited at or after `from`: begun then, or not over by then. */
export function waitedSince(reads: readonly Read[], from: number): Read[] {
  return reads.filter(({ startedAt, waitMs }) => startedAt + waitMs >= from);
}

export function longestWait(reads: readonly Read[]): number {
  return Math.max(0, ...reads.map(({ waitMs }) => waitMs));
}

export function p99Wait(reads: readonly Read[]): number {
  return quantile(
    reads.map(({ waitMs }) => waitMs),
    0.99,
  );
}

/** Reads that ended otherwise than with the right bytes, or had not ended after long. */
export function badReads(reads: readonly Read[]): number {
  return reads.filter(({ verdict, waitMs }) => {
    return verdict === 'unfinished' ? waitMs > unfinishedMs : verdict !== 'right';
  }).length;
}

/** Mbit/s of the reads that ended between two moments. */
export function throughput(reads: readonly Read[], from: number, until: number): number {
  const ended = reads.filter(({ startedAt, waitMs, verdict }) => {
    const at = startedAt + waitMs;
    return verdict !== 'unfinished' && at >= from && at < until;
  });
  return (ended.reduce((sum, { bytes }) => sum + bytes, 0) * 8) / 1e3 / (until - from);
}
