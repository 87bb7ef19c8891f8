/** A file that an option names. */
import { readBounded } from './bounded-file.ts';
import { describeError, errorCode, UsageError } from './errors.ts';

/** More than any of them: a system's CAs take a quarter of that. Bytes. */
const largestFile = 1024 * 1024;

/** @throws UsageError that names the option. */
export function readGivenFile(path: string, option: string, limit = largestFile): Buffer {
  let bytes: Buffer | undefined;
  try {
    bytes = readBounded(path, limit);
  } catch (cause) {
    throw unreadable(`${option} ${path}`, cause);
  }
  if (bytes === undefined) throw new UsageError(`${option} ${path}: it has more than ${limit} bytes`);
  return bytes;
}

/** @param what is named, and by which option. @param kind of thing that it should be. */
export function unreadable(what: string, cause: unknown, kind = 'file'): UsageError {
  const why = errorCode(cause) === 'ENOENT' ? `no such ${kind}` : describeError(cause);
  return new UsageError(`${what}: ${why}`, { cause });
}
