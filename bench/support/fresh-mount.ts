/** A mount with nothing cached: a daemon of its own, alive as long as `use` runs. */
import { join } from 'node:path';
import { Daemon } from '../../test/support/daemon.ts';
import { makeTempDir } from '../../test/support/temp-dir.ts';

export interface FreshMount {
  daemon: Daemon;
  /** The one file of the mount. */
  file: string;
  /** ms from the start of the command until the mount was there. */
  readyMs: number;
}

/** @param options of `tetherfs mount`. */
export async function withFreshMount<T>(
  urls: readonly string[],
  options: readonly string[],
  use: (mount: FreshMount) => Promise<T> | T,
): Promise<T> {
  using directory = makeTempDir('bench');
  const mountpoint = join(directory.path, 'mnt');
  const started = performance.now();
  await using daemon = await Daemon.start({ urls, mountpoint, options: [...options, '--log-level', 'info'] });
  const readyMs = performance.now() - started;
  return await use({ daemon, file: join(mountpoint, 'rootimg.sfs'), readyMs });
}
