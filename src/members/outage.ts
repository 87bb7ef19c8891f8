/**
 * An outage: no member is usable. It says so on the log when it begins (an error with every member's reason), once a minute,
 * and when it is over; and it knows how long a reader has to wait. A member that a probe finds well relieves it: readers try again. It is over
 * when one has got something, or nobody has tried in vain for a while: else a member that passes every probe and fails every read would
 * begin a new outage each time, and no reader's patience would ever run out.
 */
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import type { FetchPriority } from './contract.ts';
import { OutageError } from './errors.ts';

/** Readers wait as long as it takes, or get an error when the outage is this old. */
export type OutagePolicy = { readonly mode: 'wait' } | { readonly mode: 'eio'; readonly timeoutMs: number };

const reminderMs = 60_000;
/** Relieved for this long, it is over though nobody has read. */
const confirmMs = 10_000;

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
  #relieved = false;
  #cancelConfirm = () => {};
  #cancelReminder = () => {};
  #cancelExpiry = () => {};

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** How long it lasts already, in ms; 0 when a member is usable. */
  get ms(): number {
    return this.#since === undefined || this.#relieved ? 0 : this.#options.time.now() - this.#since;
  }

  /** No member is usable. */
  get present(): boolean {
    return this.#since !== undefined && !this.#relieved;
  }

  /** No member is usable, or no longer. */
  begin(): void {
    this.#relieved = false;
    this.#cancelConfirm();
    if (this.#since !== undefined) return;
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

  /** A probe found a member usable. */
  relieve(): void {
    if (!this.present) return;
    const { log, time } = this.#options;
    log.info('a member is usable again', { outageMs: Math.round(this.ms) });
    this.#relieved = true;
    this.#cancelConfirm = time.after(confirmMs, () => this.cancel());
  }

  /** A reader got something. */
  end(): void {
    this.relieve();
    if (this.#since !== undefined) this.cancel();
  }

  /** Forgets it silently. */
  cancel(): void {
    this.#since = undefined;
    this.#expired = false;
    this.#relieved = false;
    this.#cancelConfirm();
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
      if (this.present) log.error(`still no member is usable: ${reasons()}`, { outageMs: Math.round(this.ms) });
      this.#remind();
    });
  }
}
