/**
 * The native core as TypeScript sees it: types of the Node-API addon in native/, and its loader. All functions are
 * synchronous and quick unless they return a promise. A wrong argument throws TypeError or RangeError; a failed system
 * call throws an Error with `code` (`EBUSY`, …) and `syscall`.
 *
 * Who owns what: native owns the chunk table, the arena, and every waiting read. TypeScript owns the order of eviction,
 * and each slot from the moment it is handed over (`granted` event, `grant()`, `spare()`, `rejected` event) until it gives it
 * back (`complete()`, `drop()`).
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describeError, TetherfsError } from '../base/errors.ts';
import { addonFile } from '../base/installation.ts';

/** Events of the store, as triples (kind, a, b) of 32-bit integers. */
export const StoreEvent = {
  /** A reader waits for chunk a, which nobody fetched yet: it is now in flight, slot b is yours. */
  granted: 1,
  /** Chunk a, already in flight as a prefetch, has a waiting reader now. */
  promoted: 2,
  /** Chunk a is verified, decrypted and readable; it lies in slot b. */
  published: 3,
  /** A further copy of chunk a came in slot b after another had been published; the slot is free again. */
  surplus: 4,
  /** Chunk a in slot b is not what the digest says. Still in flight; slot b is yours again. */
  rejected: 5,
  /** The oldest reader that waits for admission lacks a free slots: evict. Said again after each eviction that was not enough. */
  slotsWanted: 6,
  /** Marked chunk a was read for the first time since it was marked. */
  touched: 7,
  /** The FUSE session is over (unmounted or aborted): a is 0, or the errno that ended it. */
  sessionEnded: 8,
  /** Chunk a is verified, decrypted and readable; it lies in the RAM file, and slot b, in which it came, is free again. */
  kept: 9,
} as const;

export interface StoreOptions {
  /** Bytes of the image as served. */
  imageSize: number;
  /** Bytes of a chunk and a slot: a power of two from 4096 to 1048576. */
  chunkSize: number;
  /** Slots in the arena; its hard size is slots * chunkSize bytes. */
  slots: number;
  /** Bytes at the image's start that readers do not see (a header); the file shown begins after them. A multiple of 512. */
  hiddenBytes: number;
  /**
   * AES-XTS key (32 or 64 bytes) with which the bytes from `hiddenBytes` on are decrypted, 512-byte sectors numbered from 0
   * there (dm-crypt's aes-xts-plain64). Copied; wipe yours. Without it bytes are shown as served.
   */
  xtsKey?: Uint8Array;
  /** fs-verity leaves: 32 bytes a block of `blockSize` bytes (a power of two <= chunkSize), `salt` 0 to 32 bytes. */
  verity?: { blockSize: number; leaves: Uint8Array; salt: Uint8Array };
  /** How many chunks the trace of first touches holds at most; 0 records none. Default 0. */
  traceLimit?: number;
  /**
   * Goes on with the memory of a process that died or froze: see `Store.descriptors`. The descriptors are the store's from now on, also when
   * createStore throws. @throws Error EINVAL, with the reason, when they do not fit the other options, or are not sealed memfds.
   */
  adopt?: AdoptedMemory;
  /** Called on the JavaScript thread when `takeEvents` has something to give. */
  onEvents: () => void;
}

export interface AdoptedMemory {
  arenaFd: number;
  ledgerFd: number;
  /** Left alone (and closed) when it is not the very file that the ledger's marks are about: its chunks are absent then. */
  ramFd?: number;
}

/** What an adopting store begins with; nothing of it is told by events. */
export interface AdoptedChunks {
  /** Present in slots, compared with their CRC-32C: for the order of eviction. In no order of age. */
  inSlots: Uint32Array;
  /** Present in the RAM file, and looked at by nobody yet: `auditRam` compares them with the digest. */
  inRam: Uint32Array;
}

/** Numbers of the store's own descriptors, for handing on: not to be closed. All are close-on-exec. */
export interface StoreDescriptors {
  arena: number;
  /** The ledger: the chunk table in memory that survives the process. See native/ledger.h. */
  ledger: number;
  /** Another one after each `attachRamFile`; none after `detachRamFile` has returned 0. */
  ram?: number;
  /** Those of the session, one a thread; empty without one. */
  fuse: number[];
}

export interface StoreStats {
  /** FUSE reads answered from the arena without waiting, and those that waited. */
  readsCached: number;
  readsWaited: number;
  /** Reads answered with an error, and those given up by their reader (FUSE_INTERRUPT). */
  readsFailed: number;
  readsInterrupted: number;
  /** Bytes answered to readers. */
  bytesRead: number;
  /** Reads waiting now, and how long the oldest of them has waited, in ms. */
  readsWaiting: number;
  oldestWaitMs: number;
  /** The longest wait of any answered read so far, in ms. */
  longestWaitMs: number;
  slotsTotal: number;
  slotsFree: number;
  chunksPresent: number;
  chunksInFlight: number;
  chunksPublished: number;
  chunksRejected: number;
  chunksEvicted: number;
  /** Chunks published by a prefetch that nobody waited for, and how many of them were read before they were evicted. */
  chunksPrefetched: number;
  chunksPrefetchedRead: number;
  /** Chunks in the RAM file; part of `chunksPresent`. */
  chunksInRam: number;
  /** Chunks in the trace so far. */
  chunksTraced: number;
  /** Slots of an adopted arena whose bytes were not what the ledger says: dropped, to be fetched again. */
  chunksNotAdopted: number;
}

/** Result of `tryEvict`. A chunk in the RAM file counts as absent: it holds no slot. */
export const Evicted = { yes: 0, pinned: 1, referenced: 2, absent: 3 } as const;

export interface Store {
  /** Fills `out` with event triples; returns the number of events. Call until it returns 0. */
  takeEvents(out: Int32Array): number;
  /** Prefetch: puts an absent chunk in flight. Its slot; -1 no slot to spare; -2 present or in flight already. */
  grant(chunk: number): number;
  /** A slot for one more attempt at a chunk in flight; -1 when none is to spare (waiting readers come first). */
  spare(): number;
  /** Copies bytes into a slot that is yours. */
  write(slot: number, offset: number, bytes: Uint8Array): void;
  /** The slot holds all bytes of `chunk`: hands it to native, which verifies, decrypts and publishes it. An event follows. */
  complete(chunk: number, slot: number): void;
  /** Gives an unused slot back. */
  drop(slot: number): void;
  /** Takes an in-flight chunk that nobody waits for out of flight: true. False when a reader waits: go on fetching. */
  release(chunk: number): boolean;
  /** Answers all reads that wait for an in-flight chunk with `errno` (positive); the chunk is absent again. */
  fail(chunk: number, errno: number): void;
  /**
   * Reads the file shown from `offset` on into `bytes` (1 MiB at most), as a reader of the mount would: resolves with how many there are, 0 at its
   * end. For transports that are not native's: `bytes` may be memory that is theirs until then. Rejects with the errno's code.
   */
  read(offset: number, bytes: Uint8Array): Promise<number>;
  /** Answers all reads that wait with `errno` (positive): their connection is over. */
  cancelReads(errno: number): void;
  /** Asks for one `touched` event when the chunk (present or in flight) is next read. */
  mark(chunk: number): void;
  /** Evicts a present chunk if it is not pinned and was not read since it was published or last refused. */
  tryEvict(chunk: number): (typeof Evicted)[keyof typeof Evicted];
  stats(): StoreStats;
  /** The chunks that readers have touched, in the order of their first touch, each once: a copy. */
  trace(): Uint32Array;
  /** Touches are not recorded any more; what was recorded stays. */
  endTrace(): void;

  /**
   * The RAM file: a memfd of exactly the file's size that takes every chunk from now on, at its place in the file. Chunks are verified and
   * decrypted on the way from their slot into it, so it never holds a byte that is not right; its memory grows as it fills.
   * Chunks that are present in slots stay there until `moveToRam`, and so does what arrives just now, or finds no memory: `published`
   * tells. @throws Error EEXIST when there is one already, EBUSY when it is still being detached.
   */
  attachRamFile(): RamFile;
  /**
   * Moves a present chunk from its slot into the RAM file. False when a reader has it pinned at this moment: ask again later; also for a chunk
   * that is not present. True when it is there already. @throws Error ENXIO when there is no RAM file, ENOMEM or ENOSPC when it gets no memory.
   */
  moveToRam(chunk: number): boolean;
  /**
   * Reads chunks of the RAM file back, encrypts them again, and compares them with the digest's leaves: resolves with the first that is not what
   * was served, or -1. All must be in the RAM file: one that is not counts as wrong; without a digest that is all that is looked at. Off the
   * JavaScript thread. Rejects with ECANCELED when the store is closed meanwhile.
   */
  auditRam(first: number, count: number): Promise<number>;
  /**
   * Lets the RAM file go: its chunks are absent again, and new ones stay in slots. Returns how many are still pinned by readers, an audit and
   * the finisher at work counted as one each; call again until it is 0, and only then the memory is free (as far as no loop device or open file
   * holds it). 0 when there is none. @throws Error EBUSY when the session passes through.
   */
  detachRamFile(): number;
  /** Gives the memory of all free slots back to the system; they cost page faults when they are used again. */
  trim(): void;

  /**
   * Mounts a FUSE filesystem of one read-only file on `mountpoint` over raw /dev/fuse and starts its threads. Needs root.
   * Once for each store. @throws Error with code of the system call.
   */
  mount(options: MountOptions): MountedSession;

  /** What was taken over from `adopt`: a copy, the same at each call; empty without `adopt`. */
  adoptedChunks(): AdoptedChunks;
  descriptors(): StoreDescriptors;
  /**
   * Like mount(), for a connection that is mounted and initialised already. `fuseFds` are the store's from now on, also when it throws.
   *
   * With `protocol.resend` the kernel is asked first to send again every request that a process before us had read and not answered: its readers
   * see a pause. There is a thread for each descriptor, and further clones up to `threads`; descriptors past the sixteenth are closed.
   *
   * Without it `threads` new clones are made and all of `fuseFds` are closed. The requests read through those end with ECONNABORTED when
   * nobody else has them open: so store the new ones (`descriptors().fuse`) under another name, and then have the holder let go of the old.
   *
   * @throws Error ENODEV when one of them is no /dev/fuse or its connection is over; EINVAL when `protocol` cannot be; code of a system call.
   */
  adoptMount(options: AdoptMountOptions): MountedSession;
  /**
   * Irrevocable: when it returns, no answer is written any more, no event posted, and no byte of arena, ledger and RAM file changed, so that a
   * successor may own them. Ends the session's threads if they are not paused; answers that are settled are still written, a chunk that is being
   * verified is published or left out. Afterwards all methods do nothing: `grant` and `spare` give -1, `tryEvict` says `pinned`, `write`,
   * `complete` and `drop` are ignored, attachRamFile() throws EBADF and detachRamFile() EBUSY; an audit under way rejects with ECANCELED.
   * close() answers nobody: it closes our copies of the descriptors.
   *
   * Reads still waiting come to the successor if it can have them sent again; otherwise pause() and wait for `readsWaiting` to be 0 before.
   */
  freeze(): void;
  /**
   * Answers every waiting read with EIO, ends the finisher and the session's threads. The store is unusable afterwards. A process that exits
   * without it freezes the store instead: what waits comes to a successor, or ends when nobody has the descriptors any more.
   */
  close(): void;
}

export interface MountOptions {
  /** An absolute path. */
  mountpoint: string;
  /** Name of the one file, at most 255 bytes, no slash. */
  fileName: string;
  /** First column of /proc/mounts. */
  source: string;
  /** Session threads, each on a descriptor of its own (FUSE_DEV_IOC_CLONE). 1 to 16. */
  threads: number;
  /** Modification time of the file, seconds since 1970. */
  mtime: number;
  /**
   * `keep`: what is read stays in the kernel's page cache of the file. `none`: buffered reads pass it by (FOPEN_DIRECT_IO); before Linux 6.6
   * the file can then not be mapped as shared memory.
   */
  pageCache: 'keep' | 'none';
  /**
   * Has the kernel read straight from the RAM file (FUSE passthrough, Linux 6.9), where it can; such reads are not counted or traced.
   * Only with a RAM file that is complete: otherwise mount() throws ERR_INVALID_STATE.
   */
  passthrough: boolean;
}

export interface AdoptMountOptions extends Omit<MountOptions, 'mountpoint' | 'source' | 'passthrough'> {
  fuseFds: number[];
  /** protocol() of the session before. */
  protocol: SettledProtocol;
  /** device of the session before. */
  device: { major: number; minor: number };
}

/** What INIT settled, as plain values that survive JSON: all that is needed to go on without another INIT. */
export interface SettledProtocol {
  major: number;
  minor: number;
  maxReadBytes: number;
  /** Opened files pass through to the RAM file, whose number in the kernel is backingId (0 otherwise). */
  passthrough: boolean;
  backingId: number;
  /** The kernel can send requests again (FUSE_NOTIFY_RESEND, Linux 6.9). */
  resend: boolean;
}

/** How the RAM file is found again, e.g. behind a loop device (LOOP_GET_STATUS64). */
export interface RamFile {
  /** Native's own: not to be closed. */
  fd: number;
}

export interface MountedSession {
  /** Device number of the mount: names its /sys/class/bdi/MAJOR:MINOR and /sys/fs/fuse/connections/MINOR. */
  device: { major: number; minor: number };
  /** What INIT settled: known when mount() returns, unless the kernel took more than a second to ask; zero until then. */
  protocol(): SettledProtocol;
  /**
   * The threads take no new request any more; resolves when they have ended. Reads that wait go on waiting, and are answered when their chunks
   * come; what the kernel asks meanwhile stays with the kernel. Nothing is told by events. Twice is once.
   */
  pause(): Promise<void>;
  /** Starts the threads again. Nothing when they run, or the session is over. Not while pause() has not resolved: throws ERR_INVALID_STATE. */
  resume(): void;
}

export interface LoopStatus {
  /** st_dev (major, minor) and st_ino of the file behind the device. */
  major: number;
  minor: number;
  inode: number;
  readOnly: boolean;
  directIo: boolean;
}

export interface MountedFile {
  /** An absolute path of the time of mounting. */
  mountpoint: string;
  fileName: string;
  /** Of the mount. */
  device: { major: number; minor: number };
}

/** What mount(2) takes. */
export interface Filesystem {
  source: string;
  target: string;
  /** `squashfs`, `overlay`, … */
  type: string;
  /** Its own options, separated by commas. */
  data?: string;
  readOnly: boolean;
}

export interface Binding {
  createStore(options: StoreOptions): Store;
  /** AES-XTS over whole 512-byte sectors, in place. `key` 32 or 64 bytes; first sector number >= 0. */
  xts(data: Uint8Array, key: Uint8Array, firstSector: number, direction: 'encrypt' | 'decrypt'): void;
  /** mount(2) off the JavaScript thread. */
  mountFilesystem(filesystem: Filesystem): Promise<void>;
  /**
   * Drops the pages of a file of a mount of ours from the kernel's page cache; those that are being read or mapped stay. Done by a short-lived
   * process, because whoever opens a file of our own mount, or waits for its pages (FUSE_NOTIFY_INVAL_INODE), must not have /dev/fuse open: killed
   * while it waits, it could not end. Rejects with ENOENT when the mount is found neither at its mountpoint nor there in the root of process 1.
   */
  dropPages(file: MountedFile): Promise<void>;
  /**
   * crypt(3), off the JavaScript thread: the text of a secret, of at most 511 bytes. @param setting begins as the text is to: `$5$SALT$`, or a whole text.
   * Rejects with EINVAL when the setting makes no sense, ENOSYS where there is no libcrypt.
   */
  crypt(secret: string, setting: string): Promise<string>;
  /** umount2(2) off the JavaScript thread. */
  unmount(mountpoint: string, mode: 'normal' | 'lazy'): Promise<void>;
  /** Has every descriptor of this process but 0 to 2 closed in what it starts. @throws Error with errno's code when /proc is not there. */
  closeOnExec(): void;
  /**
   * After a switch_root that we were started before, shows us /dev, /proc, /sys and /run of the machine's root under their paths in ours
   * (native/top_root.h).
   */
  reachTopRoot(): void;
  /**
   * Makes the root directory of process `pid` ours, that of all threads; the directory `keep`, which we are started from, is shown there under its path.
   * @throws Error with errno's code.
   */
  joinRoot(pid: number, keep: string): void;
  /**
   * Lifts, as far as we may, limits that end this process or have it run out of memory or descriptors (setrlimit(2): CPU, FSIZE, AS, DATA, NOFILE);
   * no core files; umask 022.
   */
  shedLimits(): void;
  /**
   * A free loop device, attached read-only to `size` bytes of the file at `path` from `offset` on (a multiple of 512; size 0: to its end), off the JavaScript thread. It leaves the file with its
   * last user; `fd` is one, and the caller's.
   */
  loopAttach(path: string, offset: number, size: number): Promise<{ device: string; fd: number }>;
  /**
   * LOOP_GET_STATUS64 of a loop device, off the JavaScript thread. @throws Error ENXIO when nothing is attached to it, ETIMEDOUT when the device
   * is locked for more than 250 ms, by whoever waits for its reads: these may be waiting for us.
   */
  loopStatus(device: string): Promise<LoopStatus>;
  /**
   * LOOP_CHANGE_FD: has a read-only loop device go on with another file of the same size, under its users. Off the JavaScript thread, because
   * it waits for the reads under way.
   *
   * A recent kernel (6.18) tells a file system that is mounted on the device that its medium is gone. squashfs takes no notice; ext4
   * shuts down, and every read of it fails from then on; so will other file systems that can shut down (xfs).
   */
  loopChangeFile(device: string, fd: number): Promise<void>;
  /**
   * sd_notify(3): one datagram to $NOTIFY_SOCKET, never waiting. False when there is no such socket or it does not take it.
   * With `fds` (1 to 253; sd_pid_notify_with_fds) it waits up to 500 ms for room. The receiver gets copies.
   *
   * The service manager's descriptor store, systemd's and the holder's (native/holder.c): `FDSTORE=1\nFDNAME=name` puts all of `fds` under that
   * name, which in the holder replaces what was there (systemd keeps both), `FDSTOREREMOVE=1\nFDNAME=name` takes it out, `MAINPID=n` names another
   * process as the one to be restarted. Names have up to 255 bytes, none of them a colon or a control character; those of /dev/fuse descriptors
   * begin with `fuse`.
   */
  notifyServiceManager(state: string, fds?: readonly number[]): boolean;
  /**
   * The same to a socket of one's own choice: an absolute path, or an abstract name with '@' in front. Waits up to 500 ms for room.
   * @throws Error with the code of the system call: ECONNREFUSED, ENOENT nobody there; EAGAIN no room.
   */
  sendDescriptors(address: string, state: string, fds: readonly number[]): void;
  /**
   * A datagram socket at a path that does not exist yet, mode 0600. Messages of others than root are dropped, their descriptors closed.
   * @throws Error with the code of the system call.
   */
  openDescriptorInbox(path: string): DescriptorInbox;
  /**
   * What a service manager handed us, as sd_listen_fds_with_names(3) finds it ($LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES), close-on-exec
   * from now on and the caller's. The variables are removed: a second call gives none. A descriptor without a name is 'unknown'.
   */
  takeListenedDescriptors(): ListenedDescriptor[];
  /**
   * A memfd with these bytes, sealed against every change, close-on-exec: the caller's, to be closed with closeDescriptors. `name` is for
   * /proc/PID/fd. It may hold a key: like the arena it can be swapped out.
   */
  writeMemfd(name: string, bytes: Uint8Array): number;
  /** A copy of a memfd's bytes. @throws Error EFBIG when there are more than `maxBytes`, EINVAL when it is not sealed against change. */
  readMemfd(fd: number, maxBytes: number): Buffer;
  /** close(2), for what came by openDescriptorInbox and takeListenedDescriptors. */
  closeDescriptors(fds: readonly number[]): void;
}

export interface ListenedDescriptor {
  name: string;
  fd: number;
}

export interface DescriptorMessage {
  state: string;
  /** The caller's, close-on-exec. */
  fds: number[];
  /** Of the sender, by the kernel's word. */
  pid: number;
  uid: number;
}

export interface DescriptorInbox {
  /**
   * The next message; undefined after `timeoutMs`, or when the inbox is closed. One call at a time; it holds one thread of Node's pool.
   * @throws Error ERR_INVALID_STATE when another call waits, or it is closed.
   */
  next(timeoutMs: number): Promise<DescriptorMessage | undefined>;
  /** Removes the socket. What has not been taken is lost, its descriptors closed. Twice is once. */
  close(): void;
}

let loaded: Binding | undefined;

/** Loads the addon (native/build/tetherfs.node, or the file named by TETHERFS_ADDON: a build with sanitizers). */
export function loadBinding(): Binding {
  loaded ??= load();
  return loaded;
}

function load(): Binding {
  const path = process.env['TETHERFS_ADDON'] ?? addonFile;
  try {
    return createRequire(import.meta.filename)(path) as Binding;
  } catch (cause) {
    const why = existsSync(path)
      ? describeError(cause)
      : 'it is not built: run "npm run setup" in the directory of tetherfs';
    throw new TetherfsError('NATIVE_CORE', `the native core ${path} cannot be loaded: ${why}`, { cause });
  }
}
