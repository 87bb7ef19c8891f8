/**
 * A step of the boot: named on the console when it fails, and tried again, for ever, after pauses that no two nodes share. A machine without a root has
 * nothing better to do. Only what no second try can mend ends the boot: a setting that makes no sense, too little memory, a program that is not there.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, errorCode, TetherfsError, UsageError } from '../base/errors.ts';
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

const shortestPauseMs = 1_000;
const longestPauseMs = 30_000;
/** No second try mends these. */
const lasting = new Set(['IMAGE_TOO_LARGE', 'MEMORY_SHORT', 'KEY_FILE', 'IMAGE_KIND', 'INITRAMFS', 'ZRAM']);

export class Steps {
  readonly records: StepRecord[] = [];
  readonly #console: BootConsole;
  readonly #signal: AbortSignal;

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
        const result = await step();
        this.#insistOnTime();
        this.records.push({ name, began, ended: kernelUptime() });
        return result;
      } catch (error) {
        if (error instanceof UsageError || lasting.has(errorCode(error) ?? '')) throw error;
        this.#insistOnTime();
        const inMs = jittered(systemTime, pauseMs);
        this.#console.say(`${name}: ${describeError(error)}; trying again in ${(inMs / 1000).toFixed(1)} s`);
        await sleep(inMs, undefined, { signal: this.#signal }).catch(() => this.#insistOnTime());
      }
    }
  }

  #insistOnTime(): void {
    if (this.#signal.aborted)
      throw new TetherfsError('INTERRUPTED', 'interrupted: this machine has no root file system');
  }
}
