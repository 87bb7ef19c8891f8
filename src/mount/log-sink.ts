/**
 * Where log lines go, without ever waiting for the reader of the log: /dev/kmsg (a record a line, kept by the kernel also when
 * nothing runs that could read it) for a daemon in the background, standard error for one in the foreground.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import type { LogLevel, LogSink } from '../base/log.ts';

/** Facility daemon (3), and syslog's severities. RFC 5424, section 6.2.1. */
const priorities: Record<LogLevel, number> = { error: 3 * 8 + 3, warn: 3 * 8 + 4, info: 3 * 8 + 6, debug: 3 * 8 + 7 };

/** Bytes of one kmsg record, less the kernel's prefix (LOG_LINE_MAX of kernel/printk). */
const kmsgLineBytes = 900;

/** Undefined when the kernel log cannot be written to (a container without /dev/kmsg). */
export function kmsgSink(path = '/dev/kmsg'): LogSink | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  return (level, line) => tryWrite(descriptor, `<${priorities[level]}>${cut(line, kmsgLineBytes)}\n`);
}

/** Of a daemon in the background. A user that is not root may not write to the kernel's log. */
export function whereLogged(): string {
  return process.geteuid?.() === 0 ? 'see the kernel log' : 'it had no log, which only root’s have in the background';
}

/**
 * Standard error through a descriptor of its own: O_NONBLOCK is a property of the open file, and setting it on the one that was
 * handed down would change it for the terminal's or pipe's other users too.
 */
export function stderrSink(): LogSink {
  let descriptor = 2;
  // A regular file never blocks, and has one place where it ends for all who write to it.
  if (fstatSync(2).isFile()) return (_level, line) => tryWrite(descriptor, `${line}\n`);
  try {
    descriptor = openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_APPEND);
  } catch {
    // A socket cannot be opened again: write to it as it is.
  }
  return (_level, line) => tryWrite(descriptor, `${line}\n`);
}

/** The kernel refuses a longer record as a whole. Where something is missing one sees it. */
function cut(line: string, longest: number): string {
  if (Buffer.byteLength(line) <= longest) return line;
  const room = longest - Buffer.byteLength('…');
  const { read } = new TextEncoder().encodeInto(line, new Uint8Array(room));
  return `${line.slice(0, read)}…`;
}

function tryWrite(descriptor: number, text: string): boolean {
  try {
    writeSync(descriptor, text);
    return true;
  } catch {
    return false;
  }
}
