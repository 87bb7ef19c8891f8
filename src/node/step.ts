/**
 * A step of the boot: named on the console when it fails, and tried again, for ever, after pauses that no two nodes share. A machine without a root has
 * nothing better to do. Only what no second try can mend ends the boot: a setting that makes no sense, too little memory, a program that is not there.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, errorCode, pathOf, TetherfsError } from '../base/errors.ts';
import { jittered, systemTime } from '../base/time-source.ts';

/** Seconds since the kernel started. */
export function kernelUptime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}

export interface StepRecord {
  name: string;
  /** Seconds since the kernel started. */
  began: number;
  ended: number;
}

export interface BootConsole {
  /** A line for whoever watches the machine. */
  say(line: string): void;
}

/** Told what a node has not got that boots all the same. */
export type Lack = (what: string) => void;

const shortestPauseMs = 1_000;
const longestPauseMs = 30_000;
/** No second try mends these. */
const lasting = new Set([
  ...['USAGE', 'IMAGE_TOO_LARGE', 'MEMORY_SHORT', 'KEY_FILE', 'NOT_ENCRYPTED', 'IMAGE_KIND', 'IMAGE_FORMAT'],
  ...['INITRAMFS', 'ZRAM', 'IDENTITY'],
]);
/** When a step says what it waits for, and then again after as long; ms. */
const sayEveryMs = 5_000;

export class Steps {
  readonly records: StepRecord[] = [];
  readonly #console: BootConsole;
  readonly #signal: AbortSignal;
  /** What a step may be waiting for that takes long; undefined when nothing can be told. */
  explain: () => Promise<string | undefined> = async () => undefined;

  /** @param signal ends the boot, at the next step at the latest. */
  constructor(console: BootConsole, signal: AbortSignal) {
    this.#console = console;
    this.#signal = signal;
  }

  /** @throws what ends the boot. */
  async run<T>(name: string, step: () => Promise<T>): Promise<T> {
    const began = kernelUptime();
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        const result = await this.#watched(name, step);
        this.#insistOnTime();
        this.records.push({ name, began, ended: kernelUptime() });
        return result;
      } catch (error) {
        if (lasting.has(errorCode(error) ?? '')) throw error;
        this.#insistOnTime();
        const inMs = jittered(systemTime, pauseMs);
        this.#console.say(
          `${name}: ${pathOf(error) === undefined ? '' : `${pathOf(error)}: `}${describeError(error)}; trying again in ${(inMs / 1000).toFixed(1)} s`,
        );
        await sleep(inMs, undefined, { signal: this.#signal }).catch(() => this.#insistOnTime());
      }
    }
  }

  async #watched<T>(name: string, step: () => Promise<T>): Promise<T> {
    const say = async () => {
      const why = await this.explain().catch(() => undefined);
      if (why !== undefined) this.#console.say(`${name}: ${why}`);
    };
    const timer = setInterval(() => void say(), sayEveryMs);
    try {
      return await step();
    } finally {
      clearInterval(timer);
    }
  }

  #insistOnTime(): void {
    if (this.#signal.aborted)
      throw new TetherfsError('INTERRUPTED', 'interrupted: this machine has no root file system');
  }
}
