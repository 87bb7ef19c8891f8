/**
 * The mount goes to a successor: copies of all descriptors first, so that it can make ready; then, when it asks for it, everything at once. From then
 * on we write no answer and no byte of memory, and end without unmounting. Until then nothing has changed, and we serve on if anything fails.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TetherfsError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import type { Binding, Store } from '../native/binding.ts';
import type { DescriptorKeeper } from './descriptor-keeper.ts';
import type { ImageMemory } from './image-memory.ts';
import { storeMessage } from './inheritance.ts';
import type { Transport } from './transport.ts';

export interface HandoverParts {
  native: Pick<Binding, 'sendDescriptors' | 'notifyServiceManager' | 'closeDescriptors'>;
  keeper: DescriptorKeeper;
  store: Store;
  memory: ImageMemory;
  transport: () => Transport | undefined;
  /** Number of the options' version: a successor must have the last one. */
  revision: () => number;
  /** Gives the sockets free, and ends the daemon but not the mount. */
  leave: () => void;
  log: Log;
  time: TimeSource;
}

/**
 * Without FUSE_NOTIFY_RESEND (Linux < 6.9) a successor cannot have the requests again that we have read: those are answered first. In an outage that
 * may take for ever, so we give up after this long, in ms.
 */
const drainMs = 20_000;
const lookAgainMs = 10;

/** Ends the messages of an offer. */
export const offerComplete = 'X_TETHERFS_OFFER=complete';

export class Handover {
  readonly #parts: HandoverParts;
  #committing = false;
  #offered = 0;

  constructor(parts: HandoverParts) {
    this.#parts = parts;
  }

  /** The mount is a successor's, or will be in a moment. */
  get underWay(): boolean {
    return this.#committing;
  }

  /** Sends copies of everything to a socket. @throws TetherfsError LIBFUSE, others, or the error of the system call; nothing has changed then. */
  offer(inbox: string): void {
    const { native, keeper, store, transport, revision } = this.#parts;
    if (transport()?.name === 'libfuse') {
      throw new TetherfsError(
        'LIBFUSE',
        'a mount by --transport libfuse cannot be handed over: unmount it, and mount it again',
      );
    }
    this.#offered = revision();
    const all = keeper.everything(store);
    try {
      for (const { name, fds } of all.descriptors) native.sendDescriptors(inbox, storeMessage(name), fds);
      native.sendDescriptors(inbox, offerComplete, []);
    } finally {
      native.closeDescriptors([all.state]);
    }
  }

  /**
   * Lets go. Resolves when the successor may go on.
   * @throws TetherfsError HANDOVER_UNDER_WAY, HANDOVER_WAITS when reads that must be answered first do not end: we serve on then.
   */
  async commit(pid: number): Promise<void> {
    const { native, store, transport, memory, revision, leave, log } = this.#parts;
    const mounted = transport()?.session;
    if (mounted === undefined || this.#committing) {
      throw new TetherfsError('HANDOVER_UNDER_WAY', 'the mount is not made yet, or is being handed over already');
    }
    if (revision() !== this.#offered) {
      throw new TetherfsError('HANDOVER', 'the members have changed in this moment: take it over once more');
    }
    this.#committing = true;
    try {
      await mounted.pause();
      if (!mounted.protocol().resend) await this.#drain();
    } catch (error) {
      mounted.resume();
      this.#committing = false;
      throw error;
    }
    memory.close();
    // Whoever restarts us after a crash looks after the successor from now on.
    native.notifyServiceManager(`MAINPID=${pid}`);
    store.freeze();
    log.info('a successor goes on with the mount', { pid });
    leave();
  }

  async #drain(): Promise<void> {
    const { store, time } = this.#parts;
    const patience = time.now() + drainMs;
    while (store.stats().readsWaiting > 0) {
      if (time.now() > patience) {
        throw new TetherfsError(
          'HANDOVER_WAITS',
          'reads wait for members, and this kernel (before Linux 6.9) cannot send them again: try when the members are back',
        );
      }
      await sleep(lookAgainMs);
    }
  }
}
