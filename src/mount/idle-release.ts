/**
 * Memory that a boot needed and a running node does not. While a node boots, the same bytes lie in the arena, in the file's page cache
 * and, decompressed, in squashfs' own; each makes it faster (bench/memory-arrangements.ts). When its readers rest, the last is all that is
 * of use: the others are let go, and grow again when they are needed.
 */
import type { Log } from '../base/log.ts';
import type { ChunkLoader } from '../cache/index.ts';
import type { Store } from '../native/binding.ts';
import { collectGarbage } from './garbage.ts';
import type { Transport } from './transport.ts';

export interface IdleReleaseParts {
  store: Pick<Store, 'stats' | 'trim'>;
  transport: Pick<Transport, 'dropPages'>;
  loader: Pick<ChunkLoader, 'shrink'>;
  /** Chunks that stay in the arena. */
  keep: number;
  /** How long readers who rest have read next to nothing, in ms. */
  idleMs: number;
  /** Whether the file's pages are let go, too. */
  dropPages: boolean;
  /** Whether much is being got in advance, which readers are to find. */
  expecting: () => boolean;
  log: Pick<Log, 'debug'>;
}

/** Next to nothing. */
const idleBytes = 1024 * 1024;

/** @returns what ends it. */
export function releaseWhenIdle(parts: IdleReleaseParts): () => void {
  const { store, transport, loader, keep, idleMs, dropPages, expecting, log } = parts;
  let bytesBefore = 0;
  let bytesReleasedAt = 0;
  const timer = setInterval(() => {
    const { bytesRead } = store.stats();
    const idle = bytesRead - bytesBefore < idleBytes;
    bytesBefore = bytesRead;
    if (!idle || expecting() || bytesRead - bytesReleasedAt < idleBytes) return;
    bytesReleasedAt = bytesRead;
    loader.shrink(keep);
    store.trim();
    // It fails when the mount is just going, and then it does not matter.
    if (dropPages) void transport.dropPages().catch(() => {});
    collectGarbage();
    log.debug('the readers rest', { keptChunks: keep, dropPages });
  }, idleMs);
  timer.unref();
  return () => clearInterval(timer);
}
