/** A file that an option names. */
import { readBounded } from '../base/bounded-file.ts';
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
  let bytes: Buffer | undefined;
  try {
    bytes = readBounded(path, largestFile);
  } catch (cause) {
    const why = errorCode(cause) === 'ENOENT' ? 'no such file' : describeError(cause);
    throw new UsageError(`${option} ${path}: ${why}`, { cause });
  }
  if (bytes === undefined) throw new UsageError(`${option} ${path}: it has more than ${largestFile} bytes`);
  return bytes;
}
