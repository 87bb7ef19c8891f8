/**
 * The errors a user can act on. Each has a stable `code` (documented in docs/errors.md) and a message of one line that
 * says what happened, where, and what to do. Anything else that is thrown is a defect of tetherfs and shown as one.
 */
import { getSystemErrorMessage } from 'node:util';

export class TetherfsError extends Error {
  readonly code: string;
  /** Exit status of the command line when this error ends it. 1 unless said otherwise; 2 is bad usage. */
  readonly exitStatus: number;

  constructor(code: string, message: string, options: ErrorOptions & { exitStatus?: number } = {}) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.exitStatus = options.exitStatus ?? 1;
  }
}

/** The command line asks for something that makes no sense. Exit status 2. */
export class UsageError extends TetherfsError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('USAGE', message, { ...options, exitStatus: 2 });
  }
}

/** The one line to show for anything thrown. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0]);
  return shownText(error instanceof Error ? describeSystemCall(error) || error.name : String(error));
}

/** What a peer said may hold anything: it becomes one line of at most so many characters, and no command to a terminal. */
export function shownText(text: string, longest = Number.POSITIVE_INFINITY): string {
  const line = text.trim().replace(/[\s\p{Cc}]+/gu, ' ');
  return line.length > longest ? `${line.slice(0, longest)}…` : line;
}

/** What people can do something with, where libuv's words are a programmer's. */
const errnoWords: Readonly<Record<string, string>> = {
  EISDIR: 'it is a directory',
  EMFILE: 'too many open files (ulimit -n)',
  EFBIG: 'the file would be larger than may be written (ulimit -f)',
  EAGAIN: 'no more processes or threads (ulimit -u), or try again',
};

function describeErrno(error: NodeJS.ErrnoException): string {
  const { code = '', errno } = error;
  const words = errnoWords[code];
  if (words !== undefined) return words;
  // Some have a text of their own: of our addon, of names that cannot be looked up.
  const own = errno === undefined || errno >= 0 || !error.message.includes(code);
  return own ? withoutCall(error.message) : getSystemErrorMessage(errno);
}

/** `EACCES: permission denied, open '/x'` is `permission denied`; OpenSSL's errors say their reason alone. */
function describeSystemCall(error: Error): string {
  const { message } = error;
  if ('library' in error && 'reason' in error && typeof error.reason === 'string') return error.reason;
  return isSystemError(error) ? describeErrno(error) : withoutCall(message);
}

function withoutCall(message: string): string {
  const [, what] = /^[A-Z][A-Z0-9]+: (.*), [A-Za-z0-9_ /]+(?: '.*')?$/s.exec(message) ?? [];
  return what ?? message;
}

/** Whether the operating system refused something: no defect of ours. */
export function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error && 'errno' in error;
}

/** Which file the operating system refused, where it says so. */
export function pathOf(error: unknown): string | undefined {
  return isSystemError(error) && 'path' in error && typeof error.path === 'string' ? error.path : undefined;
}

/** `ENOENT`, `ECONNREFUSED`, `UND_ERR_SOCKET`, our own codes; undefined when the error carries none. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
