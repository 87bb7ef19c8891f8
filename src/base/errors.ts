/**
 * The errors a user can act on. Each has a stable `code` (documented in docs/errors.md) and a message of one line that
 * says what happened, where, and what to do. Anything else that is thrown is a defect of tetherfs and shown as one.
 */
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

/** `EISDIR: illegal operation on a directory, read '/x'` is `illegal operation on a directory`; OpenSSL's errors say their reason alone. */
function describeSystemCall(error: Error): string {
  if ('library' in error && 'reason' in error && typeof error.reason === 'string') return error.reason;
  const [, what] = /^[A-Z][A-Z0-9]+: (.*), [A-Za-z0-9_ /]+(?: '.*')?$/s.exec(error.message) ?? [];
  return what ?? error.message;
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
