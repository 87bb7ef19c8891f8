/**
 * The kernel's side of a mount, by either of two transports. `kernel` (native/fuse_session.c) is the one for a machine's root; `libfuse` (src/libfuse) is
 * for users that are not root, and does less: docs/transports.md.
 */
import { availableParallelism } from 'node:os';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';
import { parseFileUrl } from '../base/file-url.ts';
import type { Log } from '../base/log.ts';
import { largestRead, mountByLibfuse } from '../libfuse/index.ts';
import { loadBinding, type MountedSession, type Store } from '../native/binding.ts';
import type { ImageMethod } from '../profile/index.ts';
import type { Inheritance } from './inheritance.ts';
import { abortConnection } from './kernel-tuning.ts';
import type { OpenedImage } from './open-image.ts';
import type { MountOptions } from './options.ts';

/** Session threads never wait for a member, so more than there are cores only fight over the lock; and eight are enough. */
const threads = Math.min(Math.max(2, availableParallelism()), 8);

export interface Transport {
  name: 'kernel' | 'libfuse';
  /** Device number of the mount. */
  device: { major: number; minor: number };
  /** As it is settled now. `protocol`: `MAJOR.MINOR` of FUSE; empty where libfuse keeps it to itself. */
  facts(): { protocol: string; maxReadBytes: number; passthrough: boolean };
  /** Drops the file's pages from the kernel's page cache. Rejects with the errno's code. */
  dropPages(): Promise<void>;
  /** What a successor goes on with; undefined where none can. */
  session?: MountedSession;
  /** Ends it under its readers. @throws TetherfsError ABORT */
  abort(): void;
  /** Before the store is closed. */
  close(): void;
}

export interface TransportParts {
  store: Store;
  image: OpenedImage;
  mountpoint: string;
  options: MountOptions;
  method: ImageMethod;
  log: Log;
  /** Told when the connection is over: 0, or the errno that ended it. Of the kernel transport the store's events tell it. */
  onEnded: (errno: number) => void;
}

/** Mounts. @throws TetherfsError MOUNT, LIBFUSE. */
export async function mount(parts: TransportParts): Promise<Transport> {
  const { store, method, image, options, log } = parts;
  if (options.transport === 'kernel') {
    const session = mountByKernel(
      store,
      { ...shown(parts), threads, passthrough: method === 'untethered' },
      options.mountpoint,
    );
    return kernelTransport(session, parts);
  }
  const { fileSize, hiddenBytes } = image;
  const session = await mountByLibfuse(store, {
    ...shown(parts),
    fileSize,
    decrypts: hiddenBytes > 0,
    onEnded: parts.onEnded,
    onWorn: (threads) =>
      log.warn('many readers have come and gone, and libfuse is slower by each: unmount and mount again when you can', {
        threads,
      }),
  });
  return {
    ...session,
    name: 'libfuse',
    facts: () => ({ protocol: '', maxReadBytes: largestRead, passthrough: false }),
    dropPages: () => dropPages(parts, session.device),
    abort() {
      try {
        abortConnection(session.device);
      } catch (error) {
        log.warn('the connection cannot be aborted: it ends with this process', { error: describeError(error) });
        process.exit(1);
      }
    },
  };
}

/** Goes on with the mount of a daemon before us. @throws Error of the system call. */
export function adoptMount(parts: TransportParts, { fuse, state }: Inheritance): Transport {
  const { fileName, mtime, pageCache } = shown(parts);
  return kernelTransport(
    parts.store.adoptMount({ fileName, mtime, pageCache, threads, ...state.session, fuseFds: fuse }),
    parts,
  );
}

function kernelTransport(session: MountedSession, parts: TransportParts): Transport {
  return {
    name: 'kernel',
    device: session.device,
    session,
    facts() {
      const { major, minor, maxReadBytes, passthrough } = session.protocol();
      return { protocol: `${major}.${minor}`, maxReadBytes, passthrough };
    },
    dropPages: () => dropPages(parts, session.device),
    abort() {
      try {
        abortConnection(session.device);
      } catch (cause) {
        const what = `cannot abort the mount (${describeError(cause)}): mount -t fusectl none /sys/fs/fuse/connections, and send the signal again`;
        throw new TetherfsError('ABORT', what, { cause });
      }
    },
    // The store ends it.
    close: () => {},
  };
}

function dropPages({ mountpoint, image }: TransportParts, device: Transport['device']): Promise<void> {
  return loadBinding().dropPages({ mountpoint, fileName: image.fileName, device });
}

function mountByKernel(store: Store, options: Parameters<Store['mount']>[0], mountpoint: string): MountedSession {
  try {
    return store.mount(options);
  } catch (cause) {
    const code = errorCode(cause);
    const hint =
      code === 'EPERM' || code === 'EACCES'
        ? 'root may not mount here; give the container /dev/fuse and CAP_SYS_ADMIN'
        : code === 'ENOENT' || code === 'ENODEV'
          ? 'is the kernel module fuse loaded (modprobe fuse) and /dev/fuse there?'
          : describeError(cause);
    throw new TetherfsError('MOUNT', `cannot mount on ${mountpoint}: ${hint}`, { cause });
  }
}

/** The one file, as the kernel shows it. */
function shown({ image, mountpoint, options, method }: TransportParts) {
  // Where the kernel cannot pass through, it would keep a second copy of what is in RAM already.
  const noPages = method === 'untethered' || options.pageCache === 'none';
  return {
    mountpoint,
    fileName: image.fileName,
    // The kernel has room for a page.
    source: `tetherfs:${parseFileUrl(options.urls[0]).text}`.slice(0, 1024),
    mtime: image.mtime,
    pageCache: noPages ? ('none' as const) : ('keep' as const),
  };
}
