/**
 * The sockets that tell of a mount: control and metrics. Nobody's read depends on them, so a mount that exists is never given up because one of
 * them cannot be had (its address may have gone meanwhile): it is tried again, and said.
 */
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';

/** A server that listens. */
export interface Listener {
  close(): void;
  /** Leaves its name or address to a successor, which may listen there now. */
  leave(): void;
}

/** What it is called on the log, and how it is started. */
export interface ListenerStart {
  name: string;
  start: () => Promise<Listener>;
}

/** ms between two tries, doubled from the first to the longest. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;

export class Listeners {
  readonly #log: Log;
  readonly #time: TimeSource;
  readonly #open: Listener[] = [];
  /** Cancel what is to be tried again. */
  readonly #cancel = new Set<() => void>();
  #over = false;

  constructor(log: Log, time: TimeSource) {
    this.#log = log;
    this.#time = time;
  }

  /** For a mount that is yet to be made. @throws what `start` throws. */
  async open({ start }: ListenerStart): Promise<void> {
    this.#took(await start());
  }

  /** For a mount that is there: now, or as soon as it can be. */
  async insist({ name, start }: ListenerStart, pauseMs = firstPauseMs): Promise<void> {
    try {
      this.#took(await start());
      if (pauseMs > firstPauseMs) this.#log.info(`${name} can be had again`);
    } catch (error) {
      if (this.#over) return;
      if (pauseMs === firstPauseMs) {
        this.#log.error(`${name} cannot be had now; the mount goes on`, { error: describeError(error) });
      }
      const cancel = this.#time.after(pauseMs, () => {
        this.#cancel.delete(cancel);
        void this.insist({ name, start }, Math.min(2 * pauseMs, longestPauseMs));
      });
      this.#cancel.add(cancel);
    }
  }

  leave(): void {
    this.#stop();
    for (const listener of this.#open) listener.leave();
  }

  close(): void {
    this.#stop();
    for (const listener of this.#open) listener.close();
  }

  #took(listener: Listener): void {
    // It was on its way when we ended.
    if (this.#over) listener.close();
    else this.#open.push(listener);
  }

  #stop(): void {
    this.#over = true;
    for (const cancel of this.#cancel) cancel();
  }
}
