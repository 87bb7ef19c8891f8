/**
 * The daemon in the background: the same program started once more, in a session of its own, with nothing of the
 * caller's (clean-child.ts). The options go over its IPC channel; what it says while it starts is shown by the caller; when the mount is ready, or
 * cannot be, the two part. A holder stands between them, unless somebody else restarts the daemon.
 *
 * argv[0] begins with '@' so that systemd's killing sprees at switch_root and shutdown pass it over (systemd's
 * ROOT_STORAGE_DAEMONS).
 */
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import * as z from 'zod';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';
import { holderProgram } from '../base/installation.ts';
import { nodeWords, spawnClean } from './clean-child.ts';
import type { MemoryProgress } from './image-memory.ts';
import { whereLogged } from './log-sink.ts';
import { type MountOptions, mountOptionsSchema } from './options.ts';

/** argv[0] of every daemon. */
export const daemonName = '@tetherfs';

const daemonMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('hello') }),
  z.object({ kind: z.literal('log'), line: z.string() }),
  z.object({ kind: z.literal('progress'), bytes: z.number(), totalBytes: z.number(), rate: z.number() }),
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('failed'), code: z.string(), message: z.string(), exitStatus: z.number() }),
]);
export type DaemonMessage = z.infer<typeof daemonMessage>;

/** How long one that has failed may take to end, ms: it closes sockets then. */
const goodbyeMs = 2_000;

export interface BackgroundStart {
  /** Script to run and the arguments that make it a daemon. */
  script: string;
  arguments: readonly string[];
  /** Undefined for a successor, which goes on with its predecessor's. */
  options: MountOptions | undefined;
  /** Whether a holder is to start it, and to start it again after a crash (native/holder.c). */
  held: boolean;
  /** Ends it: whoever wanted it wants it no more. */
  signal: AbortSignal;
  /** Takes log lines of the starting daemon. */
  onLog: (line: string) => void;
  /** Told twice a second while the image is pulled. */
  onProgress: (progress: MemoryProgress) => void;
}

/** Resolves with the daemon's pid once it is ready. @throws TetherfsError as the daemon reported it, INTERRUPTED, or DAEMON_DIED. */
export function startInBackground(start: BackgroundStart): Promise<number> {
  const { script, arguments: extra, options, held, signal: interruption, onLog, onProgress } = start;
  const errors = openErrorOutput();
  const daemon = nodeWords([script, ...extra]);
  const command: typeof daemon = held ? [holderProgram, '--argv0', daemonName, ...daemon] : daemon;
  const child = spawnClean(command, {
    argv0: held ? `${daemonName}-holder` : daemonName,
    detached: true,
    stdio: ['ignore', errors, errors, 'ipc'],
  });
  if (typeof errors === 'number') closeSync(errors);
  const stop = () => child.kill('SIGTERM');
  if (interruption.aborted) stop();
  interruption.addEventListener('abort', stop);
  const leave = () => {
    child.removeAllListeners('exit');
    if (child.connected) child.disconnect();
    child.unref();
  };
  return new Promise<number>((resolve, reject) => {
    /** Whoever is told finds nothing of it any more; unless it does not end, which is not waited for long. */
    const fail = (error: TetherfsError) => {
      const over = () => {
        clearTimeout(impatience);
        leave();
        reject(error);
      };
      const impatience = setTimeout(over, goodbyeMs);
      child.removeAllListeners('exit').on('exit', over);
    };
    child.on('error', (cause) =>
      reject(
        new TetherfsError('DAEMON_DIED', `cannot start the daemon (${command[0]}): ${describeError(cause)}`, { cause }),
      ),
    );
    child.on('exit', (status, signal) => reject(endOf(status, signal)));
    child.on('message', (raw) => {
      const message = daemonMessage.parse(raw);
      switch (message.kind) {
        case 'hello':
          child.send({ options });
          break;
        case 'log':
          onLog(message.line);
          break;
        case 'progress':
          onProgress(message);
          break;
        case 'failed':
          fail(new TetherfsError(message.code, message.message, { exitStatus: message.exitStatus }));
          break;
        case 'ready':
          leave();
          resolve(child.pid ?? 0);
          break;
      }
    });
  }).finally(() => interruption.removeEventListener('abort', stop));
}

/** The holder ends with 128 and the number of the signal that ended the daemon. */
function endOf(status: number | null, signal: NodeJS.Signals | null): TetherfsError {
  const byNumber = Object.entries(constants.signals).find(([, number]) => number + 128 === status)?.[0];
  const name = signal ?? byNumber;
  if (name === 'SIGINT' || name === 'SIGTERM') return interrupted();
  const how = name === undefined ? `ended with status ${status}` : `was ended by ${name}`;
  return new TetherfsError(
    'DAEMON_DIED',
    `the daemon ${how} while the mount was being made: ${whereLogged()}, or mount with --foreground to see why`,
  );
}

/** Of whoever wants the mount no more. */
export function interrupted(): TetherfsError {
  return new TetherfsError('INTERRUPTED', 'interrupted while the mount was being made: nothing is mounted');
}

/** What V8 itself has to say before it dies belongs into the kernel log; nothing else writes there unasked. */
function openErrorOutput(): number | 'ignore' {
  try {
    return openSync('/dev/kmsg', 'w');
  } catch {
    return 'ignore';
  }
}

/** The daemon's side of the channel. */
export interface Caller {
  options: MountOptions | undefined;
  say(message: DaemonMessage): void;
}

const startMessage = z.object({ options: mountOptionsSchema.optional() });

/** Waits for the caller's options. A caller that goes away later, while the mount is not ready, does not end the daemon. */
export function awaitCaller(): Promise<Caller> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) {
      reject(new TetherfsError('NO_CALLER', 'this is started by "tetherfs mount", not by hand'));
      return;
    }
    process.once('message', (raw) => {
      const { options } = startMessage.parse(raw);
      resolve({ options, say });
    });
    say({ kind: 'hello' });
  });
}

function say(message: DaemonMessage): void {
  if (process.connected !== true) return;
  process.send?.(message, undefined, undefined, (error) => {
    if (error !== null && errorCode(error) !== 'ERR_IPC_CHANNEL_CLOSED' && errorCode(error) !== 'EPIPE') throw error;
  });
}
