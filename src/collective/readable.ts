/** What administrators leave for nodes is read by the member's own user: where that one may not, it is said, by the file's name. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { errorCode, TetherfsError } from '../base/errors.ts';

/** Undefined for what is not there; @throws TetherfsError NOT_READABLE for what may not be read, the error itself for what else is wrong with it. */
export function absentOrUnreadable(path: string): (error: unknown) => undefined {
  return (error) => {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code !== 'EACCES') throw error;
    const what = `${path} cannot be read by ${userInfo().username}, as whom this member runs: chmod or chown it, and what it lies in`;
    throw new TetherfsError('NOT_READABLE', what, { cause: error });
  };
}

/** What is not there is another matter. @throws as absentOrUnreadable */
export async function insistOnReadable(path: string): Promise<void> {
  await access(path, constants.R_OK).catch(absentOrUnreadable(path));
}
