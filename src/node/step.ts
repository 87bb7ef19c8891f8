/**
 * A step of the boot, or of what a node does once it has booted: named on the console when it fails, and tried again, for ever, after pauses that no two nodes share. A machine without a
 * root has nothing better to do. Only what no second try can mend ends the boot: a setting that makes no sense, too little memory, a program that is not there.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { describeError, errorCode, pathOf, TetherfsError } from '../base/errors.ts';
import { jittered, systemTime } from '../base/time-source.ts';

/** Seconds since the kernel started. */
export function kernelUptime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}

export const stepSchema = z.object({
  name: z.string(),
  /** Seconds since the kernel started. */
  began: z.number(),
  ended: z.number(),
  /** What no second try can mend, and the node does without; absent when it has succeeded. */
  failed: z.string().optional(),
});
export type StepRecord = z.infer<typeof stepSchema>;

/** For people: how long each took. */
export function describeSteps(steps: readonly StepRecord[]): string {
  return steps.map(({ name, began, ended }) => `${name} ${(ended - began).toFixed(1)} s`).join(', ');
}

export interface BootConsole {
  /** A line for whoever watches the machine. */
  say(line: string): void;
}

/** Told what a node has not got that boots all the same. */
export type Lack = (what: string) => void;

const shortestPauseMs = 1_000;
const longestPauseMs = 30_000;
/** No second try mends these before there is a root. */
const lastingInBoot = new Set([
  ...['USAGE', 'IMAGE_TOO_LARGE', 'MEMORY_SHORT', 'KEY_FILE', 'NOT_ENCRYPTED', 'IMAGE_KIND', 'IMAGE_FORMAT'],
  ...['INITRAMFS', 'ZRAM', 'IDENTITY'],
]);
export interface StepsOptions {
  /** Whether no second try mends it. */
  isLasting: (error: unknown) => boolean;
  /** What is said when the signal ends it all. */
  interrupted: string;
}

const ofBoot: StepsOptions = {
  isLasting: (error) => lastingInBoot.has(errorCode(error) ?? ''),
  interrupted: 'interrupted: this machine has no root file system',
};

/** When a step says what it waits for, and then again after as long; ms. */
const sayEveryMs = 5_000;

export class Steps {
  readonly records: StepRecord[] = [];
  readonly #console: BootConsole;
  readonly #signal: AbortSignal;
  readonly #options: StepsOptions;
  /** What a step may be waiting for that takes long; undefined when nothing can be told. */
  explain: () => Promise<string | undefined> = async () => undefined;

  /** @param signal ends the boot, at the next step at the latest. */
  constructor(console: BootConsole, signal: AbortSignal, options = ofBoot) {
    this.#console = console;
    this.#signal = signal;
    this.#options = options;
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
        if (this.#options.isLasting(error)) throw error;
        this.#insistOnTime();
        const inMs = jittered(systemTime, pauseMs);
        this.#console.say(`${name}: ${describeFailure(error)}; trying again in ${(inMs / 1000).toFixed(1)} s`);
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
    if (this.#signal.aborted) throw new TetherfsError('INTERRUPTED', this.#options.interrupted);
  }
}

/** With the file that the operating system refused. */
export function describeFailure(error: unknown): string {
  const path = pathOf(error);
  return `${path === undefined ? '' : `${path}: `}${describeError(error)}`;
}
