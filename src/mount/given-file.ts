/** A file that an option names. */
import { readFileSync } from 'node:fs';
import { describeError, errorCode, UsageError } from '../base/errors.ts';

/** A path as the daemon can use it, which runs in `/`. Not normalized: `link/..` may be elsewhere. @throws UsageError when it is empty. */
export function absolutePath(given: string, option: string): string {
  if (given === '') throw new UsageError(`${option} is empty: give a path`);
  return given.startsWith('/') ? given : `${process.cwd()}/${given}`;
}

/** @throws UsageError that names the option. */
export function readGivenFile(path: string, option: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = errorCode(cause) === 'ENOENT' ? 'no such file' : describeError(cause);
    throw new UsageError(`${option} ${path}: ${why}`, { cause });
  }
}
