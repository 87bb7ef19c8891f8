/**
 * The daemon: wires members, cache and the kernel's side into one mount, and looks after its life. It is ready when the image is
 * identified, its tree (where a digest is given) is verified, and the first bytes (untethered: all) are in memory; with an inheritance
 * it goes on where a daemon before it ended. It ends when the mount is gone, or when a successor has it.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { formatSize } from '../base/size.ts';
import { systemTime } from '../base/time-source.ts';
import { ChunkLoader } from '../cache/index.ts';
import type { Collective } from '../members/contract.ts';
import { type AdoptedMemory, loadBinding, type Store } from '../native/binding.ts';
import type { ImageMethod } from '../profile/index.ts';
import { BootTrace, traceLimit } from './boot-trace.ts';
import {
  handoverCommitSchema,
  handoverRequestSchema,
  memberChangesSchema,
  retetherRequestSchema,
  untetherRequestSchema,
} from './control-client.ts';
import { linkControl, unlinkControl } from './control-path.ts';
import { type ControlRoutes, startControlServer } from './control-server.ts';
import { DescriptorKeeper } from './descriptor-keeper.ts';
import { Handover } from './handover.ts';
import { releaseWhenIdle } from './idle-release.ts';
import { ImageMemory, type MemoryProgress } from './image-memory.ts';
import { chooseImageMethod } from './image-method.ts';
import { type Inheritance, makeState } from './inheritance.ts';
import { protectFromOomKiller, raiseReadAhead } from './kernel-tuning.ts';
import { type ListenerStart, Listeners } from './listeners.ts';
import { reachMachineRoot, watchForRoot } from './machine-root.ts';
import { Membership } from './membership.ts';
import { getMetadata } from './metadata-first.ts';
import { placeOf, tetherfsAt, tetherfsMounts } from './mount-table.ts';
import { type OpenedImage, openImage, resumeImage } from './open-image.ts';
import type { MountOptions } from './options.ts';
import { snapshot } from './snapshot.ts';
import type { Status } from './status.ts';
import { adoptMount, mount, type Transport } from './transport.ts';
import { detachDead, unmountEverywhere } from './unmount.ts';

const MiB = 1024 * 1024;
/** Reads that wait longer than this are reported, and then again after each such time. */
const waitReportMs = 5000;

export interface Daemon {
  /** Unmounts: at once when nobody uses the mount, otherwise lazily: it ends when its last user has gone. */
  stop(): Promise<void>;
  /** Ends the mount under its users; their reads fail. @throws TetherfsError ABORT */
  abort(): void;
  /** Reads the file of `--members-from` again, where there is one; what is wrong with it the log says. */
  reload(): void;
  /** Whether somebody keeps what a successor needs, so that a crash is a pause. */
  readonly kept: boolean;
  /** Resolves when the mount is gone or a successor's, and everything is closed; with the errno that ended it, else 0. */
  readonly ended: Promise<number>;
}

export interface DaemonStart {
  /** Those of the inheritance, when there is one. */
  options: MountOptions;
  /** A mount to go on with instead of making one. Its descriptors are the daemon's from now on. */
  inheritance?: Inheritance | undefined;
  /** Makes sure that nobody else has hold of the inheritance any more. Asked when all is ready to go on. */
  takeHold?: (() => Promise<void>) | undefined;
  version: string;
  log: Log;
  /** Told twice a second while the image is pulled before the mount. */
  onProgress: (progress: MemoryProgress) => void;
  /** Told right before the mount is made or gone on with: from then on it must be unmounted, or left to who goes on with it. */
  onMounting: () => void;
}

/** @throws TetherfsError when the mount cannot be made; nothing is left behind then. */
export async function startDaemon(start: DaemonStart): Promise<Daemon> {
  const { options, inheritance, log } = start;
  insistOnRights(options);
  protectFromOomKiller(log);
  if (inheritance !== undefined) {
    return wire(start, inheritance.state.method, resumeImage(inheritance, log));
  }
  checkMountpoint(options.mountpoint);
  const method = await chooseImageMethod(options, log);
  return wire(start, method, await openImage(options, log));
}

/** @throws TetherfsError NOT_ROOT. A process in a namespace of its own may be told it is root: the mount will say so then. */
function insistOnRights({ transport }: MountOptions): void {
  if (transport === 'libfuse' || process.geteuid?.() === 0) return;
  throw new TetherfsError(
    'NOT_ROOT',
    'only root can mount: run this as root, or mount by "tetherfs mount --transport libfuse"',
  );
}

/** Everything is closed again when it fails. */
async function wire(start: DaemonStart, method: ImageMethod, image: OpenedImage): Promise<Daemon> {
  const closers: (() => unknown)[] = [() => image.collective.close()];
  try {
    return await wireParts(start, method, image, closers);
  } catch (error) {
    for (const close of closers.reverse()) await close();
    throw error;
  }
}

async function wireParts(
  { options, inheritance, takeHold, version, log, onProgress, onMounting }: DaemonStart,
  method: ImageMethod,
  image: OpenedImage,
  closers: (() => unknown)[],
): Promise<Daemon> {
  const { collective, geometry } = image;
  const time = systemTime;
  const { mountpoint } = options;
  const started = time.now();
  const slots = inheritance?.state.slots ?? slotCount(options.cacheSize, image);
  const { promise: ended, resolve: end } = Promise.withResolvers<End>();
  const native = loadBinding();
  const keeper = new DescriptorKeeper({
    native,
    state: () => state(),
    sequence: inheritance?.state.sequence ?? 0,
    log,
    time,
  });
  closers.push(() => keeper.close(), watchForRoot());
  if (inheritance !== undefined) onMounting();
  await takeHold?.();
  const store = native.createStore({
    imageSize: geometry.imageSize,
    chunkSize: geometry.chunkSize,
    slots,
    hiddenBytes: image.hiddenBytes,
    ...(image.xtsKey && { xtsKey: image.xtsKey }),
    ...(image.tree && { verity: image.tree }),
    ...(inheritance && { adopt: memoryOf(inheritance) }),
    traceLimit: image.digest === undefined ? 0 : traceLimit,
    onEvents: () => loader.drain(),
  });
  keeper.remember(image);
  closers.push(() => store.close());
  const onSessionEnded = (errno: number) => end({ errno, handedOver: false });
  const loader = new ChunkLoader({ store, geometry, slots, collective, log, time, onSessionEnded });
  loader.adopt(store.adoptedChunks());
  closers.push(() => loader.close());
  const outageTimeoutMs = options.onOutage === 'eio' ? options.outageTimeout * 1000 : undefined;
  const path = () => join(place(), image.fileName);
  const onRamFile = (fd: number | undefined) => keeper.ramFile(fd);
  const memory = new ImageMemory({ store, image, loader, outageTimeoutMs, path, onRamFile, log, time });
  closers.push(() => memory.close());
  // What goes to the RAM file takes nothing away from the cache.
  const window = () => (memory.state === 'tethered' ? Math.floor(slots / 2) : geometry.chunkCount);
  const trace = new BootTrace({ store, image, loader, window, earlier: inheritance?.state.trace ?? [], log, time });
  closers.push(() => trace.close());

  let transport: Transport | undefined;
  closers.push(() => transport?.close());
  const deviceName = () => transport && `${transport.device.major}:${transport.device.minor}`;
  const place = () => placeOf(deviceName(), mountpoint);
  const membership = new Membership({
    options,
    image,
    onChange: () => keeper.renew(),
    isLeaving: () => handover.underWay,
  });
  const isDetached = () => transport !== undefined && tetherfsMounts(deviceName()).length === 0;
  const status = () =>
    snapshot({
      options: membership.options,
      mountpoint: place(),
      detached: isDetached(),
      version,
      image,
      method,
      memory,
      trace,
      store,
      slots,
      transport,
      started,
    });
  const state = () => {
    const session = transport?.session;
    if (session === undefined) throw new TetherfsError('NOT_MOUNTED', 'the mount is not made yet; ask again');
    const facts = { device: session.device, protocol: session.protocol() };
    return makeState({
      options: membership.options,
      slots,
      image,
      method,
      session: facts,
      members: collective.memory,
      trace: trace.chunks,
    });
  };
  const listeners = new Listeners(log, time);
  closers.push(() => listeners.close());
  const handover = new Handover({
    native,
    keeper,
    store,
    memory,
    transport: () => transport,
    revision: () => membership.revision,
    leave() {
      keeper.leave();
      listeners.leave();
      end({ errno: 0, handedOver: true });
    },
    log,
    time,
  });
  const routes: ControlRoutes = {
    'GET /status': status,
    'GET /trace': () => trace.text(),
    'POST /untether': (body) => memory.untether(untetherRequestSchema.parse(body).backgroundRate),
    'POST /retether': (body) => memory.retether(retetherRequestSchema.parse(body ?? {}).force),
    'POST /members': (body) => membership.change(memberChangesSchema.parse(body)),
    'POST /members/reload': () => membership.reload(),
    'POST /handover/offer': (body) => handover.offer(handoverRequestSchema.parse(body).inbox),
    'POST /handover/commit': (body) => handover.commit(handoverCommitSchema.parse(body).pid),
  };
  const starts = await listenerStarts(options, routes, status);
  const parts = { store, image, mountpoint, options, method, log, onEnded: onSessionEnded };
  if (inheritance !== undefined) {
    transport = adoptMount(parts, inheritance);
    for (const start of starts) await listeners.insist(start);
  } else {
    for (const start of starts) await listeners.open(start);
    if (method === 'untethered') await memory.pull(onProgress);
    else getMetadata(image, loader, Math.floor(slots / 4));
    if (method !== 'untethered' && options.trace !== false) trace.begin(options.trace);
    onMounting();
    transport = await mount(parts);
  }
  memory.mounted(transport);
  const { major, minor } = transport.device;
  const mounted = `${major}:${minor}`;
  announceControl(mounted, options.control, log);
  const kept = transport.session !== undefined && keeper.keep(store);
  if (method === 'untethered' && transport.session !== undefined) raiseReadAhead(transport.device, log);
  log.info(inheritance === undefined ? 'mounted' : 'taken over', {
    mountpoint,
    file: image.fileName,
    size: formatSize(image.fileSize),
    digest: image.digest ?? 'none: bytes are not verified',
    method,
    ...(method !== 'untethered' && { cache: formatSize(slots * geometry.chunkSize) }),
  });
  if (inheritance !== undefined) memory.resume(options.backgroundRate);
  else if (method === 'progressive') fillIfItFits(memory, options, log);
  const stopWatching = watchWaits(store, collective, log);
  const keep = Math.floor(options.idleCacheSize / geometry.chunkSize);
  const stopReleasing = releaseWhenIdle({
    store,
    transport,
    loader,
    keep,
    idleMs: options.idleTime * 1000,
    log,
    dropPages: options.pageCache === 'drop',
    expecting: () => trace.replaying,
  });
  const { abort } = transport;
  const gone = ended.then(async ({ errno, handedOver }) => {
    keeper.leave();
    if (!handedOver) unlinkControl(mounted, options.control);
    stopWatching();
    stopReleasing();
    if (errno !== 0) {
      await detachDead(mounted).catch((error: unknown) =>
        log.warn('a dead mount is left', { mountpoint, error: describeError(error) }),
      );
    }
    for (const close of closers.reverse()) await close();
    if (handedOver) log.info('handed over', { mountpoint });
    else if (errno === 0) log.info('unmounted', { mountpoint });
    else log.warn('the kernel has ended the mount', { mountpoint, error: getSystemErrorMessage(-errno) });
    return errno;
  });
  return {
    kept,
    stop: () => unmountEverywhere(mounted, log),
    abort,
    reload() {
      if (options.membersFrom === undefined) return;
      reachMachineRoot();
      membership.reload().then(
        ({ added, removed }) =>
          log.info('members read again', {
            added: added.length,
            removed: removed.length,
            file: options.membersFrom?.file,
          }),
        (error: unknown) => log.warn('the members stay as they are', { why: describeError(error) }),
      );
    },
    ended: gone,
  };
}

/** Prometheus' client is loaded only where it is wanted: it is a fifth of what a daemon loads. */
async function listenerStarts(
  { control, metrics }: MountOptions,
  routes: ControlRoutes,
  status: () => Promise<Status>,
): Promise<ListenerStart[]> {
  const starts = [{ name: 'the control socket', start: () => startControlServer(control, routes) }];
  if (metrics !== undefined) {
    const { startMetricsServer } = await import('./metrics.ts');
    starts.push({ name: '--metrics', start: () => startMetricsServer(metrics, status) });
  }
  return starts;
}

/** So that the mount is found by whatever name; without it, by that of its mountpoint only. */
function announceControl(device: string, control: string, log: Log): void {
  try {
    linkControl(device, control);
  } catch (error) {
    log.warn('other names of the mount will not lead to its control socket', { error: describeError(error) });
  }
}

/** How it ended: the mount with an errno, or ours of it. */
interface End {
  errno: number;
  handedOver: boolean;
}

function memoryOf({ arena, ledger, ram }: Inheritance): AdoptedMemory {
  return { arenaFd: arena, ledgerFd: ledger, ...(ram !== undefined && { ramFd: ram }) };
}

/** A boot goes on, tethered, where the image is too large to be kept. */
function fillIfItFits(memory: ImageMemory, { backgroundRate }: MountOptions, log: Log): void {
  try {
    memory.untether(backgroundRate);
  } catch (error) {
    log.warn('the node stays tethered', { error: describeError(error) });
  }
}

/** @throws TetherfsError unless it is a directory that exists, and no mount of ours. */
function checkMountpoint(path: string): void {
  const refuse = (what: string, cause?: unknown) =>
    new TetherfsError('MOUNTPOINT', `cannot mount on ${path}: ${what}`, { cause });
  // Not to be touched: it may hang.
  if (tetherfsAt(path) !== undefined) {
    throw refuse(
      `tetherfs is mounted there already; remove it with "tetherfs unmount ${path}" (a dead one that is in use: --lazy)`,
    );
  }
  try {
    if (statSync(path).isDirectory()) return;
  } catch (cause) {
    throw refuse(errorCode(cause) === 'ENOENT' ? 'make the directory first' : describeError(cause), cause);
  }
  throw refuse('it is not a directory');
}

/** Slots for `cacheSize`, but not more than the image has chunks and two attempts at one span could want. */
function slotCount(cacheSize: number, { geometry }: OpenedImage): number {
  const { chunkSize, chunkCount } = geometry;
  const largestRead = MiB / chunkSize + 1;
  const least = Math.min(largestRead, chunkCount);
  const slots = Math.floor(cacheSize / chunkSize);
  if (slots < least) {
    throw new TetherfsError(
      'CACHE_TOO_SMALL',
      `--cache-size ${formatSize(cacheSize)} is too small for one read; give at least ${formatSize(least * chunkSize)}`,
    );
  }
  return Math.min(slots, chunkCount + largestRead);
}

/** Never hang without saying why: says so when reads wait long, and when they go on. */
function watchWaits(store: Store, collective: Collective, log: Log): () => void {
  let reported = false;
  const timer = setInterval(() => {
    const { readsWaiting, oldestWaitMs } = store.stats();
    const waiting = readsWaiting > 0 && oldestWaitMs >= waitReportMs;
    if (waiting && !reported) {
      log.warn('reads are waiting', {
        reads: readsWaiting,
        oldestSeconds: Math.round(oldestWaitMs / 1000),
        members: collective
          .status()
          .members.map(({ url, state, reason }) => `${url} ${state}${reason && ` (${reason})`}`)
          .join('; '),
      });
    } else if (!waiting && reported) {
      log.info('reads go on');
    }
    reported = waiting;
  }, waitReportMs);
  timer.unref();
  return () => clearInterval(timer);
}
