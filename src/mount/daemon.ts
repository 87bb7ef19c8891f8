/**
 * The daemon: wires members, cache and the kernel's side into one mount, and looks after its life. It is ready when the image is
 * identified, its tree (where a digest is given) is verified, and the first bytes are in the arena. It ends when the mount is gone.
 */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { ChunkLoader } from '../cache/index.ts';
import type { Collective } from '../members/contract.ts';
import { loadBinding, type MountedSession, type Store } from '../native/binding.ts';
import { type ControlServer, startControlServer } from './control-server.ts';
import { abortConnection, currentReadAheadKiB, protectFromOomKiller, raiseReadAhead } from './kernel-tuning.ts';
import { type MetricsServer, startMetricsServer } from './metrics.ts';
import { type OpenedImage, openImage } from './open-image.ts';
import type { MountOptions } from './options.ts';
import { formatSize } from './size.ts';
import type { Status } from './status.ts';

const MiB = 1024 * 1024;
/** Session threads never wait for a member, so more than there are cores only fight over the lock; and eight are enough. */
const threads = Math.min(Math.max(2, availableParallelism()), 8);
/** Reads that wait longer than this are reported, and then again after each such time. */
const waitReportMs = 5000;

export interface Daemon {
  status(): Status;
  /** Unmounts: at once when nobody uses the mount, otherwise lazily: it ends when its last user has gone. */
  stop(): Promise<void>;
  /** Ends the mount under its users; their reads fail. */
  abort(): void;
  /** Resolves when the mount is gone and everything is closed; with the errno that ended it, 0 for a plain unmount. */
  readonly ended: Promise<number>;
}

/** @throws TetherfsError when the mount cannot be made; nothing is left behind then. */
export async function startDaemon(options: MountOptions, version: string, log: Log): Promise<Daemon> {
  const mountpoint = checkMountpoint(options.mountpoint);
  protectFromOomKiller(log);
  const image = await openImage(options, log);
  const closers: (() => unknown)[] = [() => image.collective.close()];
  try {
    return await wire(options, mountpoint, version, image, closers, log);
  } catch (error) {
    for (const close of closers.reverse()) await close();
    throw error;
  }
}

async function wire(
  options: MountOptions,
  mountpoint: string,
  version: string,
  image: OpenedImage,
  closers: (() => unknown)[],
  log: Log,
): Promise<Daemon> {
  const { collective, geometry } = image;
  const started = systemTime.now();
  const slots = slotCount(options.cacheSize, image);
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  const store = loadBinding().createStore({
    imageSize: geometry.imageSize,
    chunkSize: geometry.chunkSize,
    slots,
    hiddenBytes: image.hiddenBytes,
    ...(image.xtsKey && { xtsKey: image.xtsKey }),
    ...(image.tree && { verity: image.tree }),
    onEvents: () => loader.drain(),
  });
  image.xtsKey?.fill(0);
  closers.push(() => store.close());
  const loader = new ChunkLoader({ store, geometry, slots, collective, log, time: systemTime, onSessionEnded: end });
  closers.push(() => loader.close());

  const status = () => snapshot({ options, mountpoint, version, image, store, slots, session, started });
  const servers: (ControlServer | MetricsServer)[] = [];
  let session: MountedSession | undefined;
  closers.push(() => servers.forEach((server) => void server.close()));
  servers.push(await startControlServer(options.control, { 'GET /status': status }));
  if (options.metrics !== undefined) servers.push(await startMetricsServer(options.metrics, status));

  session = mount(store, image, mountpoint, options);
  raiseReadAhead(session.device, log);
  log.info('mounted', {
    mountpoint,
    file: image.fileName,
    size: formatSize(image.fileSize),
    digest: image.digest ?? 'none: bytes are not verified',
    cache: formatSize(slots * geometry.chunkSize),
  });
  const stopWatching = watchWaits(store, collective, log);
  const gone = ended.then(async (errno) => {
    stopWatching();
    for (const close of closers.reverse()) await close();
    log.info('unmounted', { mountpoint, ...(errno !== 0 && { errno }) });
    return errno;
  });
  const { device } = session;
  return {
    status,
    stop: () => unmount(mountpoint, log),
    abort: () => abortConnection(device),
    ended: gone,
  };
}

/** @throws TetherfsError unless it is a directory that exists. Nothing below it may be served by ourselves already. */
function checkMountpoint(path: string): string {
  const mountpoint = resolve(path);
  try {
    if (statSync(mountpoint).isDirectory()) return mountpoint;
  } catch (cause) {
    const hint =
      errorCode(cause) === 'ENOTCONN' ? `a dead mount is there; remove it with "umount -l ${path}"` : undefined;
    throw new TetherfsError('MOUNTPOINT', `cannot mount on ${path}: ${hint ?? 'make the directory first'}`, { cause });
  }
  throw new TetherfsError('MOUNTPOINT', `cannot mount on ${path}: it is not a directory`);
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

function mount(store: Store, image: OpenedImage, mountpoint: string, options: MountOptions): MountedSession {
  try {
    return store.mount({
      mountpoint,
      fileName: image.fileName,
      source: `tetherfs:${options.urls[0] ?? ''}`,
      threads,
      mtime: image.mtime,
      pageCache: 'keep',
      passthrough: false,
    });
  } catch (cause) {
    const code = errorCode(cause);
    const hint =
      code === 'EPERM' || code === 'EACCES'
        ? 'run as root'
        : code === 'ENOENT' || code === 'ENODEV'
          ? 'is the kernel module fuse loaded (modprobe fuse) and /dev/fuse there?'
          : describeError(cause);
    throw new TetherfsError('MOUNT', `cannot mount on ${mountpoint}: ${hint}`, { cause });
  }
}

async function unmount(mountpoint: string, log: Log): Promise<void> {
  const { unmount } = loadBinding();
  try {
    await unmount(mountpoint, 'normal');
  } catch (error) {
    if (errorCode(error) === 'EINVAL' || errorCode(error) === 'ENOENT') return;
    log.warn('the mount is in use: it is detached now and ends with its last user', { mountpoint });
    await unmount(mountpoint, 'lazy');
  }
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

interface SnapshotParts {
  options: MountOptions;
  mountpoint: string;
  version: string;
  image: OpenedImage;
  store: Store;
  slots: number;
  session: MountedSession | undefined;
  started: number;
}

function snapshot({ options, mountpoint, version, image, store, slots, session, started }: SnapshotParts): Status {
  const { members, ...collective } = image.collective.status();
  const stats = store.stats();
  const protocol = session?.protocol();
  const readAheadKiB = session && currentReadAheadKiB(session.device);
  return {
    version,
    pid: process.pid,
    mountpoint,
    uptimeMs: systemTime.now() - started,
    onOutage: options.onOutage,
    image: {
      file: image.fileName,
      size: image.geometry.imageSize,
      fileSize: image.fileSize,
      ...(image.digest !== undefined && { digest: image.digest }),
      ...(image.tree && { blockSize: image.tree.blockSize }),
      encrypted: image.encrypted,
      decrypting: image.hiddenBytes > 0,
    },
    members: members.map(({ latencyP50Ms, latencyP99Ms, ...member }) => ({
      ...member,
      ...(latencyP50Ms !== undefined && { latencyP50Ms }),
      ...(latencyP99Ms !== undefined && { latencyP99Ms }),
    })),
    collective,
    cache: {
      size: slots * image.geometry.chunkSize,
      chunkSize: image.geometry.chunkSize,
      slotsTotal: stats.slotsTotal,
      slotsFree: stats.slotsFree,
      chunksPresent: stats.chunksPresent,
      chunksInFlight: stats.chunksInFlight,
      chunksPublished: stats.chunksPublished,
      chunksRejected: stats.chunksRejected,
      chunksEvicted: stats.chunksEvicted,
      chunksPrefetched: stats.chunksPrefetched,
      chunksPrefetchedRead: stats.chunksPrefetchedRead,
    },
    reads: {
      cached: stats.readsCached,
      waited: stats.readsWaited,
      failed: stats.readsFailed,
      interrupted: stats.readsInterrupted,
      bytes: stats.bytesRead,
      waiting: stats.readsWaiting,
      oldestWaitMs: stats.oldestWaitMs,
      longestWaitMs: stats.longestWaitMs,
    },
    fuse: {
      protocol: protocol ? `${protocol.major}.${protocol.minor}` : '',
      maxReadBytes: protocol?.maxReadBytes ?? 0,
      ...(readAheadKiB !== undefined && { readAheadKiB }),
    },
    process: { residentBytes: residentBytes() },
  };
}

/** VmRSS of /proc/self/status; process.memoryUsage() would count the V8 heap besides, at some cost. */
function residentBytes(): number {
  const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) * 1024;
}
