/** A file that an option names. */
import { closeSync, openSync, readSync } from 'node:fs';
import { describeError, errorCode, UsageError } from '../base/errors.ts';

/** A path as the daemon can use it, which runs in `/`. Not normalized: `link/..` may be elsewhere. @throws UsageError when it is empty. */
export function absolutePath(given: string, option: string): string {
  if (given === '') throw new UsageError(`${option} is empty: give a path`);
  return given.startsWith('/') ? given : `${process.cwd()}/${given}`;
}

/** More than any of them: a system's CAs take a quarter of that. Bytes. */
const largestFile = 1024 * 1024;

/** @throws UsageError that names the option. */
export function readGivenFile(path: string, option: string): Buffer {
  try {
    return readBounded(path);
  } catch (cause) {
    if (cause instanceof RangeError) throw new UsageError(`${option} ${path}: ${cause.message}`, { cause });
    const why = errorCode(cause) === 'ENOENT' ? 'no such file' : describeError(cause);
    throw new UsageError(`${option} ${path}: ${why}`, { cause });
  }
}

/** It may be a pipe, or have no end. @throws RangeError */
function readBounded(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(largestFile + 1);
    let length = 0;
    for (let more = 1; more > 0 && length < bytes.length; length += more) {
      more = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length > largestFile) throw new RangeError(`it has more than ${largestFile} bytes`);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
