/** Files that are sockets of ours: made where nothing else is, and removed only as what they are. */
import { lstatSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';

/**
 * Makes room for a socket at `path`: a dead one's is removed. `what` says whose it is, e.g. `--metrics`, and `code` is the error's.
 * @throws TetherfsError when something else is there, somebody answers, or there is no directory for it.
 */
export async function claimSocketFile(path: string, what: string, code: string): Promise<void> {
  if (!isDirectory(dirname(path)))
    throw new TetherfsError(code, `${what} ${path}: there is no directory ${dirname(path)}`);
  const found = look(path);
  if (found === 'nothing') return;
  if (found === 'another') throw new TetherfsError(code, `${what} ${path}: a file that is no socket is there already`);
  if (await answers(path))
    throw new TetherfsError(`${code}_IN_USE`, `${what} ${path} is another process’s, which runs; give another place`);
  try {
    removeSocketFile(path);
  } catch (cause) {
    const why = describeError(cause);
    throw new TetherfsError(code, `${what} ${path}: a dead one's that cannot be removed (${why}); give another place`, {
      cause,
    });
  }
}

/** Of a process that died. */
export async function removeDeadSocket(path: string): Promise<void> {
  if (look(path) === 'socket' && !(await answers(path))) removeSocketFile(path);
}

/** Unless it has become something else. */
export function removeSocketFile(path: string): void {
  if (look(path) === 'socket') rmSync(path, { force: true });
}

function look(path: string): 'nothing' | 'socket' | 'another' {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'nothing';
  return found.isSocket() ? 'socket' : 'another';
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return false;
    throw new TetherfsError('NOT_ROOT', `${path} cannot be looked at: ${describeError(error)}`, { cause: error });
  }
}

/** Whether something accepts connections at the socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
