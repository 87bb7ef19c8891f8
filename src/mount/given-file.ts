/** A file that an option names. */
import { readFileSync } from 'node:fs';
import { describeError, errorCode, UsageError } from '../base/errors.ts';

/** @throws UsageError that names the option. */
export function readGivenFile(path: string, option: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = errorCode(cause) === 'ENOENT' ? 'no such file' : describeError(cause);
    throw new UsageError(`${option} ${path}: ${why}`, { cause });
  }
}
