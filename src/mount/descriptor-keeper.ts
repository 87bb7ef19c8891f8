/**
 * Keeps the service manager's copies of our descriptors (systemd's file descriptor store, or the holder's) as ours are: whoever is started after a
 * crash goes on with them. Without a service manager nothing is kept, and a crash ends the mount.
 */
import type { Log } from '../base/log.ts';
import type { Binding, Store } from '../native/binding.ts';
import { liveDescriptors, type NamedDescriptors, storeMessage } from './inheritance.ts';
import type { OpenedImage } from './open-image.ts';

export class DescriptorKeeper {
  readonly #native: Pick<Binding, 'notifyServiceManager' | 'writeMemfd' | 'closeDescriptors'>;
  readonly #log: Log;
  /** Copies of the sidecar and the key: ours, to be handed to a successor as well. */
  readonly #facts = new Map<string, number>();

  constructor(native: Binding, log: Log) {
    this.#native = native;
    this.#log = log;
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
  everything(store: Store, state: object): { descriptors: NamedDescriptors[]; state: number } {
    const fd = this.#native.writeMemfd('tetherfs-state', Buffer.from(JSON.stringify(state)));
    const facts = [...this.#facts].map(([name, kept]) => ({ name, fds: [kept] }));
    return { descriptors: [...liveDescriptors(store), ...facts, { name: 'state', fds: [fd] }], state: fd };
  }

  /** @returns whether somebody keeps them. */
  keep(store: Store, state: object): boolean {
    const all = this.everything(store, state);
    const kept = all.descriptors.every(({ name, fds }) => this.#native.notifyServiceManager(storeMessage(name), fds));
    this.#native.closeDescriptors([all.state]);
    if (kept) this.#log.debug('a successor could go on after a crash');
    else this.#log.info('nobody keeps what a successor would need: a crash would end this mount');
    return kept;
  }

  /** The RAM file has come or gone. */
  ramFile(fd: number | undefined): void {
    if (fd === undefined) this.#native.notifyServiceManager('FDSTOREREMOVE=1\nFDNAME=ram');
    else this.#native.notifyServiceManager(storeMessage('ram'), [fd]);
  }

  close(): void {
    this.#native.closeDescriptors([...this.#facts.values()]);
    this.#facts.clear();
  }
}
