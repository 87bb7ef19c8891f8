/** The status of a mount, gathered from its parts. */
import { readFileSync } from 'node:fs';
import { systemTime } from '../base/time-source.ts';
import type { Store } from '../native/binding.ts';
import type { ImageMethod } from '../profile/index.ts';
import type { BootTrace } from './boot-trace.ts';
import type { ImageMemory } from './image-memory.ts';
import { currentReadAheadKiB } from './kernel-tuning.ts';
import type { OpenedImage } from './open-image.ts';
import type { MountOptions } from './options.ts';
import type { Status } from './status.ts';
import type { Transport } from './transport.ts';

export interface SnapshotParts {
  options: MountOptions;
  mountpoint: string;
  detached: boolean;
  version: string;
  image: OpenedImage;
  method: ImageMethod;
  memory: ImageMemory;
  trace: BootTrace;
  store: Store;
  slots: number;
  transport: Transport | undefined;
  started: number;
}

export async function snapshot(parts: SnapshotParts): Promise<Status> {
  const { options, mountpoint, detached, version, image, method, memory, trace, store, slots, transport, started } =
    parts;
  const loopDevices = await memory.loopDevices();
  const { pause } = memory;
  const { members, ...collective } = image.collective.status();
  const stats = store.stats();
  const fuse = transport?.facts();
  const readAheadKiB = transport && currentReadAheadKiB(transport.device);
  return {
    version,
    pid: process.pid,
    mountpoint,
    detached,
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
    memory: {
      method,
      state: memory.state,
      ...memory.progress,
      ...(pause !== undefined && { pause }),
      passthrough: fuse?.passthrough ?? false,
      loopDevices,
    },
    trace: trace.status(),
    cache: {
      size: slots * image.geometry.chunkSize,
      chunkSize: image.geometry.chunkSize,
      slotsTotal: stats.slotsTotal,
      slotsFree: stats.slotsFree,
      chunksPresent: stats.chunksPresent - stats.chunksInRam,
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
      transport: options.transport,
      protocol: fuse?.protocol ?? '',
      maxReadBytes: fuse?.maxReadBytes ?? 0,
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
