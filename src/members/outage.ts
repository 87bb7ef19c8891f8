/**
 * An outage: no member is usable. It says so on the log when it begins (an error with every member's reason), once a minute,
 * and when it is over; and it knows how long a reader has to wait.
 */
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import type { FetchPriority } from './contract.ts';
import { OutageError } from './errors.ts';

/** Readers wait as long as it takes, or get an error when the outage is this old. */
export type OutagePolicy = { readonly mode: 'wait' } | { readonly mode: 'eio'; readonly timeoutMs: number };

const reminderMs = 60_000;

export interface OutageOptions {
  policy: OutagePolicy;
  log: Log;
  time: TimeSource;
  /** Every member with its reason, on one line. */
  reasons: () => string;
  /** Waiting is no longer allowed: waiting demand fetches are to ask `refusal` again. */
  onExpired: () => void;
}

export class Outage {
  readonly #options: OutageOptions;
  #since: number | undefined;
  #expired = false;
  #cancelReminder = () => {};
  #cancelExpiry = () => {};

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** How long it lasts already, in ms; 0 when there is none. */
  get ms(): number {
    return this.#since === undefined ? 0 : this.#options.time.now() - this.#since;
  }

  get present(): boolean {
    return this.#since !== undefined;
  }

  begin(): void {
    if (this.present) return;
    const { log, time, policy, reasons, onExpired } = this.#options;
    this.#since = time.now();
    const consequence = policy.mode === 'wait' ? 'reads wait' : `reads fail after ${policy.timeoutMs} ms`;
    log.error(`no member is usable, ${consequence}: ${reasons()}`);
    this.#remind();
    if (policy.mode === 'wait') return;
    this.#cancelExpiry = time.after(policy.timeoutMs, () => {
      this.#expired = true;
      onExpired();
    });
  }

  end(): void {
    if (!this.present) return;
    this.#options.log.info('a member is usable again', { outageMs: Math.round(this.ms) });
    this.cancel();
  }

  /** Forgets it silently. */
  cancel(): void {
    this.#since = undefined;
    this.#expired = false;
    this.#cancelReminder();
    this.#cancelExpiry();
  }

  /** Why a fetch must not wait for the outage's end; undefined when it may, or when there is none. */
  refusal(priority: FetchPriority): OutageError | undefined {
    if (!this.present) return undefined;
    return priority === 'prefetch' || this.#expired ? new OutageError(this.#options.reasons()) : undefined;
  }

  #remind(): void {
    const { log, time, reasons } = this.#options;
    this.#cancelReminder = time.after(reminderMs, () => {
      log.error(`still no member is usable: ${reasons()}`, { outageMs: Math.round(this.ms) });
      this.#remind();
    });
  }
}
