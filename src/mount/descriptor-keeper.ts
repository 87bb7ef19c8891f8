/**
 * Keeps the service manager's copies of our descriptors (systemd's file descriptor store, or the holder's) as ours are: whoever is started after a
 * crash goes on with them. Without a service manager nothing is kept, and a crash ends the mount.
 */
import { describeError, errorCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import type { Binding, Store } from '../native/binding.ts';
import { liveDescriptors, type NamedDescriptors, stateNames, storeMessage } from './inheritance.ts';
import type { OpenedImage } from './open-image.ts';

/** How often a change of the state is kept at most, and after how long it is tried again when nobody took it; ms. */
const renewMs = 10_000;
const renewAgainMs = 60_000;

export interface DescriptorKeeperParts {
  native: Pick<Binding, 'notifyServiceManager' | 'writeMemfd' | 'closeDescriptors'>;
  /** What a successor is to know, now. @throws TetherfsError while there is no mount yet. */
  state: () => object;
  /** Number of the state that we began with; 0 without one. */
  sequence: number;
  log: Log;
  time: TimeSource;
}

export class DescriptorKeeper {
  readonly #native: DescriptorKeeperParts['native'];
  readonly #state: () => object;
  readonly #log: Log;
  readonly #time: TimeSource;
  /** Of the state that was written last. */
  #sequence: number;
  /** The state that was kept last of all, but for its number. */
  #kept = '';
  /** Under which it is kept, and the other one. */
  #names: readonly [string, string] = stateNames;
  #cancel = () => {};
  /** Whether somebody takes them. */
  #taken = false;
  /** Copies of the sidecar and the key: ours, to be handed to a successor as well. */
  readonly #facts = new Map<string, number>();

  constructor({ native, state, sequence, log, time }: DescriptorKeeperParts) {
    this.#native = native;
    this.#state = state;
    this.#sequence = sequence;
    this.#log = log;
    this.#time = time;
  }

  /** Keeps the sidecar and the key for successors, and wipes the key: native has its own copy. */
  remember(image: Pick<OpenedImage, 'sidecar' | 'xtsKey'>): void {
    for (const [name, bytes] of [
      ['sidecar', image.sidecar],
      ['key', image.xtsKey],
    ] as const) {
      if (bytes !== undefined) this.#facts.set(name, this.#native.writeMemfd(`tetherfs-${name}`, bytes));
    }
    image.xtsKey?.fill(0);
    image.sidecar = undefined;
  }

  /** All that a successor needs, with the state as it is now; `state` is the caller's to close when it has been sent. */
  everything(store: Store): { descriptors: NamedDescriptors[]; state: number } {
    const fd = this.#writeState(this.#state());
    const facts = [...this.#facts].map(([name, kept]) => ({ name, fds: [kept] }));
    return { descriptors: [...liveDescriptors(store), ...facts, { name: 'state', fds: [fd] }], state: fd };
  }

  /** From now on; the state is kept anew as it changes. @returns whether somebody keeps them, for certain. */
  keep(store: Store): boolean {
    const all = this.everything(store);
    const taken = all.descriptors.every(({ name, fds }) => this.#native.notifyServiceManager(storeMessage(name), fds));
    const kept = taken && keepsDescriptors();
    this.#native.closeDescriptors([all.state]);
    if (kept) this.#log.debug('a successor could go on after a crash');
    else if (taken)
      this.#log.info(
        'whether systemd keeps what a successor would need cannot be told: it does when the unit has FileDescriptorStoreMax=64 (and says so from 254 on)',
      );
    else this.#log.info('nobody keeps what a successor would need: a crash would end this mount');
    this.#taken = taken;
    if (taken) this.#renewLater(renewMs);
    return kept;
  }

  /** The RAM file has come or gone. */
  ramFile(fd: number | undefined): void {
    if (fd === undefined) this.#native.notifyServiceManager('FDSTOREREMOVE=1\nFDNAME=ram');
    else this.#native.notifyServiceManager(storeMessage('ram'), [fd]);
  }

  /** The state has changed in a way that must not be lost. */
  renew(): void {
    if (this.#taken) this.#renewLater(this.#tryToRenew() ? renewMs : renewAgainMs);
  }

  /** What is kept stays as it is: it is a successor's now. */
  leave(): void {
    this.#taken = false;
    this.#cancel();
  }

  close(): void {
    this.leave();
    this.#native.closeDescriptors([...this.#facts.values()]);
    this.#facts.clear();
  }

  #renewLater(ms: number): void {
    this.#cancel();
    this.#cancel = this.#time.after(ms, () => this.#renewLater(this.#tryToRenew() ? renewMs : renewAgainMs));
  }

  /** A machine that is short of descriptors or memory has what was kept before. */
  #tryToRenew(): boolean {
    try {
      return this.#renew();
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      this.#log.warn('what a successor should know cannot be kept anew now', { error: describeError(error) });
      return false;
    }
  }

  /**
   * The same name cannot be used twice in a row: systemd would keep both, and a crash after its removal would find none. So there are two, of
   * which one is always there, and the state says which is the newer. @returns false when nobody took it.
   */
  #renew(): boolean {
    const state = this.#state();
    const text = JSON.stringify(state);
    if (text === this.#kept) return true;
    const [name, other] = this.#names;
    const fd = this.#writeState(state);
    this.#native.notifyServiceManager(`FDSTOREREMOVE=1\nFDNAME=${other}`);
    const taken = this.#native.notifyServiceManager(storeMessage(other), [fd]);
    this.#native.closeDescriptors([fd]);
    if (taken) {
      this.#names = [other, name];
      this.#kept = text;
    }
    return taken;
  }

  #writeState(state: object): number {
    const text = JSON.stringify({ ...state, sequence: ++this.#sequence });
    return this.#native.writeMemfd('tetherfs-state', Buffer.from(text));
  }
}

/** $FDSTORE of systemd 254 and the holder: how many are kept. Who takes the messages may throw the descriptors away. */
function keepsDescriptors(): boolean {
  return Number(process.env['FDSTORE'] ?? 0) > 0;
}
