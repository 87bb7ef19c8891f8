/** A path that an option names, as the daemon can use it, which runs in `/`; and a file that is read while it serves. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { UsageError } from '../base/errors.ts';
import { unreadable } from '../base/given-file.ts';

/** A path as the daemon can use it, which runs in `/`. Not normalized: `link/..` may be elsewhere. @throws UsageError when it is empty. */
export function absolutePath(given: string, option: string): string {
  if (given === '') throw new UsageError(`${option} is empty: give a path`);
  return given.startsWith('/') ? given : `${process.cwd()}/${given}`;
}

/** For a daemon, which perhaps serves the file to itself: never waits for it. @throws UsageError that names `what`. */
export async function readFileLater(path: string, limit: number, what: string): Promise<string> {
  try {
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) throw new UsageError(`${what}: it is no regular file`);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(limit + 1), 0, limit + 1, 0);
    if (bytesRead > limit) throw new UsageError(`${what}: it has more than ${limit} bytes`);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw unreadable(what, cause);
  }
}
