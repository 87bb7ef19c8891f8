/** Small files that somebody names: what is there may be a pipe, or have no end. */
import { closeSync, openSync, readSync } from 'node:fs';

/** All of it; undefined when it has more than `limit` bytes. @throws Error of the system call */
export function readBounded(path: string, limit: number): Buffer | undefined {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(limit + 1);
    let length = 0;
    for (let more = 1; more > 0 && length < bytes.length; length += more) {
      more = readSync(file, bytes, length, bytes.length - length, null);
    }
    return length > limit ? undefined : bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
