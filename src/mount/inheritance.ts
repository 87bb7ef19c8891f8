/**
 * What a daemon leaves to its successor, in descriptors that outlive it: the connections to the kernel, the arena, the ledger, the RAM file, and
 * three memfds of facts that nobody else could tell again: the state (this file's schema), the sidecar, the key. Whoever keeps them (systemd, the
 * holder, a successor that was asked to take over) gets them by the service manager's descriptor protocol, under these names.
 */
import * as z from 'zod';
import { describeError, TetherfsError } from '../base/errors.ts';
import { memberMemorySchema } from '../members/index.ts';
import type { Binding, DescriptorMessage, Store } from '../native/binding.ts';
import type { OpenedImage } from './open-image.ts';
import { imageMethods, type MountOptions, mountOptionsSchema } from './options.ts';
import { watchdogTime } from './watchdog.ts';

const bytes = z.number().int().nonnegative();
/** Under one of them, or both, the state is kept. */
export const stateNames = ['state', 'state.b'] as const;

const base64 = z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64')));

/** No secret is in it: the key has a memfd of its own. */
export const stateSchema = z.object({
  format: z.literal(1),
  options: mountOptionsSchema,
  method: z.enum(imageMethods),
  /** PEM, because the file may be gone by then. */
  ca: z.array(z.string()).optional(),
  slots: bytes,
  image: z.object({
    fileName: z.string(),
    fileSize: bytes,
    mtime: z.number().int(),
    imageSize: bytes,
    chunkSize: bytes,
    hiddenBytes: bytes,
    encrypted: z.boolean(),
    digest: z.string().optional(),
    /** First and last bytes as served: they tell members apart where there is no digest. */
    head: base64,
    tail: base64,
  }),
  session: z.object({
    device: z.object({ major: bytes, minor: bytes }),
    protocol: z.object({
      major: bytes,
      minor: bytes,
      maxReadBytes: bytes,
      passthrough: z.boolean(),
      backingId: z.number().int(),
      resend: z.boolean(),
    }),
  }),
  /** Where descriptors are kept: what $NOTIFY_SOCKET said. */
  notifySocket: z.string().optional(),
  /** $FDSTORE: how many. */
  descriptorStore: z.string().optional(),
  /** $WATCHDOG_USEC: how often a sign of life is wanted. */
  watchdog: z.string().optional(),
  members: z.array(memberMemorySchema),
  /** Chunks in the order of their first touch. */
  trace: z.array(bytes),
  /** Of two, the one with the greater number is the newer. */
  sequence: bytes.default(0),
});
export type InheritedState = z.output<typeof stateSchema>;
type StateToWrite = z.input<typeof stateSchema>;

/** What a successor has in its hands. The descriptors are its own. */
export interface Inheritance {
  state: InheritedState;
  fuse: number[];
  arena: number;
  ledger: number;
  ram: number | undefined;
  /** The hash tree beside the image; absent without a digest. */
  sidecar: Buffer | undefined;
  /** To be wiped as soon as native has it; absent without one. */
  xtsKey: Buffer | undefined;
}

/** A descriptor for somebody else to keep, by its name. */
export interface NamedDescriptors {
  name: string;
  fds: readonly number[];
}

/** More than the state of any image: its trace is bounded, a member takes some KiB. */
const largestState = 16 * 1024 * 1024;
/** The sidecar of the largest image. */
const largestSidecar = 2 ** 31 - 1;
const largestKey = 64;

export function storeMessage(name: string): string {
  return `FDSTORE=1\nFDNAME=${name}`;
}

/** The name in a message of `storeMessage`; undefined for any other. */
export function storedName({ state }: DescriptorMessage): string | undefined {
  const fields = new Map(state.split('\n').map((line) => line.split('=', 2) as [string, string]));
  return fields.get('FDSTORE') === '1' ? fields.get('FDNAME') : undefined;
}

/** Descriptors of the memory and the kernel's side, as they are now. */
export function liveDescriptors(store: Store): NamedDescriptors[] {
  const { arena, ledger, ram, fuse } = store.descriptors();
  return [
    { name: 'fuse', fds: fuse },
    { name: 'arena', fds: [arena] },
    { name: 'ledger', fds: [ledger] },
    ...(ram === undefined ? [] : [{ name: 'ram', fds: [ram] }]),
  ];
}

export interface StateParts {
  options: MountOptions;
  slots: number;
  image: OpenedImage;
  method: InheritedState['method'];
  session: InheritedState['session'];
  members: InheritedState['members'];
  trace: Uint32Array;
}

export function makeState({ options, slots, image, method, session, members, trace }: StateParts): StateToWrite {
  const { geometry, ca, digest, head, tail, fileName, fileSize, mtime, hiddenBytes, encrypted } = image;
  const { NOTIFY_SOCKET: notifySocket, FDSTORE: descriptorStore } = process.env;
  const watchdog = watchdogTime();
  const toBase64 = (found: Uint8Array) => Buffer.from(found).toString('base64');
  return {
    format: 1,
    options,
    method,
    slots,
    image: {
      fileName,
      fileSize,
      mtime,
      hiddenBytes,
      encrypted,
      imageSize: geometry.imageSize,
      chunkSize: geometry.chunkSize,
      head: toBase64(head),
      tail: toBase64(tail),
      ...(digest !== undefined && { digest }),
    },
    session,
    members,
    trace: [...trace],
    ...(ca !== undefined && { ca }),
    ...(notifySocket !== undefined && { notifySocket }),
    ...(descriptorStore !== undefined && { descriptorStore }),
    ...(watchdog !== undefined && { watchdog }),
  };
}

/** Of those that can be read: one of another version may be left beside ours. @throws when there is none. */
function newestState(fds: readonly number[], native: Binding): InheritedState {
  let newest: InheritedState | undefined;
  let wrong: unknown = new Error('there is no state');
  for (const fd of fds) {
    try {
      const state = stateSchema.parse(JSON.parse(native.readMemfd(fd, largestState).toString('utf8')));
      if (newest === undefined || state.sequence >= newest.sequence) newest = state;
    } catch (error) {
      wrong = error;
    }
  }
  if (newest === undefined) throw wrong;
  return newest;
}

/**
 * Reads what was kept. All of `kept` is closed when it is not a whole inheritance.
 * @throws TetherfsError INHERITANCE when something is missing or of another version.
 */
export function readInheritance(kept: readonly NamedDescriptors[], native: Binding): Inheritance {
  const read: number[] = [];
  const all = (name: string) => kept.filter((each) => each.name === name).flatMap(({ fds }) => fds);
  // systemd keeps what was stored before under the same name: the newest counts.
  const newest = (name: string) => all(name).at(-1);
  const contents = (name: string, most: number) => {
    const fd = newest(name);
    return fd === undefined ? undefined : native.readMemfd(fd, most);
  };
  try {
    const state = newestState(stateNames.flatMap(all), native);
    const [arena, ledger, ram, fuse] = [newest('arena'), newest('ledger'), newest('ram'), all('fuse')];
    if (arena === undefined || ledger === undefined || fuse.length === 0) throw new Error('a descriptor is missing');
    const sidecar = contents('sidecar', largestSidecar);
    const xtsKey = contents('key', largestKey);
    const used = new Set([arena, ledger, ...fuse, ...(ram === undefined ? [] : [ram])]);
    read.push(...kept.flatMap(({ fds }) => fds).filter((fd) => !used.has(fd)));
    return { state, fuse, arena, ledger, ram, sidecar, xtsKey };
  } catch (cause) {
    read.push(...kept.flatMap(({ fds }) => fds));
    const why =
      cause instanceof z.ZodError
        ? `its version keeps its state in another form (${cause.issues[0]?.path.join('.')}); go on with that version`
        : describeError(cause);
    throw new TetherfsError('INHERITANCE', `what the daemon before left cannot be taken over: ${why}`, { cause });
  } finally {
    native.closeDescriptors(read);
  }
}
