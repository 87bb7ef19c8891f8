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
    const why = errorCode(cause) === 'ENOENT' ? 'no such file' : describeError(cause);
    throw new UsageError(`${option} ${path}: ${why}`, { cause });
  }
  if (bytes === undefined) throw new UsageError(`${option} ${path}: it has more than ${limit} bytes`);
  return bytes;
}
