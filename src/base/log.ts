/**
 * The log: one line an event, never blocking. A line that the destination does not take at once is dropped and counted;
 * the next line that gets through says how many were lost. Levels are syslog's.
 */
export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];
export const logFormats = ['text', 'json'] as const;
export type LogFormat = (typeof logFormats)[number];

/** What goes with an event. Values are shown as they are: never pass a key or another secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

/** Takes a finished line (no newline at its end); false when it could not be taken without blocking. */
export type LogSink = (level: LogLevel, line: string) => boolean;

export interface LogOptions {
  /** The least important level that is written. */
  level: LogLevel;
  format: LogFormat;
  sink: LogSink;
  /** Wall-clock time of a line. */
  clock?: () => Date;
}

export function createLog({ level, format, sink, clock = () => new Date() }: LogOptions): Log {
  const threshold = logLevels.indexOf(level);
  let dropped = 0;

  function render(lineLevel: LogLevel, message: string, fields: LogFields): string {
    const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
    if (format === 'json') {
      const object = { time: clock().toISOString(), level: lineLevel, message, ...Object.fromEntries(entries) };
      // JSON has those below 0x20 escaped.
      return oneLine(JSON.stringify(object));
    }
    const suffix = entries.map(([key, value]) => ` ${key}=${quote(String(value))}`).join('');
    return oneLine(`tetherfs: ${message}${suffix}`);
  }

  function write(lineLevel: LogLevel, message: string, fields: LogFields = {}): void {
    if (logLevels.indexOf(lineLevel) > threshold) return;
    if (dropped > 0 && sink('warn', render('warn', 'log lines were dropped', { dropped }))) dropped = 0;
    if (!sink(lineLevel, render(lineLevel, message, fields))) dropped++;
  }

  return {
    error: (message, fields) => write('error', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    info: (message, fields) => write('info', message, fields),
    debug: (message, fields) => write('debug', message, fields),
  };
}

function quote(value: string): string {
  return /[\s"=]/.test(value) || value === '' ? JSON.stringify(value) : value;
}

/** A peer's text may hold line breaks and control characters; a log line must not. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}
