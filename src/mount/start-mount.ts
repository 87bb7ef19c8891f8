/** A mount in the background, from the options to the first bytes that were read through it. */
import { parseFileUrl } from '../base/file-url.ts';
import { startInBackground } from './background.ts';
import { readFirstBytes } from './first-bytes.ts';
import type { MemoryProgress } from './image-memory.ts';
import type { MountOptions } from './options.ts';
import { removeDeadSocket } from './socket-file.ts';
import { unmount } from './unmount.ts';

export interface MountWatcher {
  /** Ends it: whoever wanted the mount wants it no more. */
  signal: AbortSignal;
  /** Takes log lines of the starting daemon. */
  onLog: (line: string) => void;
  /** Told twice a second while the image is pulled. */
  onProgress: (progress: MemoryProgress) => void;
  /** Told once what the first bytes wait for. */
  onWaiting: (line: string) => void;
}

/** Returns when the image can be read. @throws TetherfsError when it cannot: nothing is mounted then. */
export async function startMount(options: MountOptions, watcher: MountWatcher): Promise<void> {
  const { signal, onLog, onProgress, onWaiting } = watcher;
  const { mountpoint, control } = options;
  const { fileName } = parseFileUrl(options.urls[0]);
  const startedAt = performance.now();
  try {
    await startInBackground({
      script: process.argv[1] ?? '',
      arguments: ['daemon', mountpoint],
      options,
      // Nobody could go on with a mount by libfuse.
      held: options.transport === 'kernel',
      signal,
      onLog,
      onProgress,
    });
  } catch (error) {
    await removeDeadSocket(control);
    throw error;
  }
  try {
    await readFirstBytes({ options, fileName, startedAt, signal, onWaiting });
  } catch (error) {
    // Who is told that it failed must find nothing mounted.
    await unmount(mountpoint, 'lazy').catch(() => {});
    throw error;
  }
}
