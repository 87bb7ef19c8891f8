/**
 * Asks a running daemon through its control socket. Never touches the mount.
 */
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { request } from '../base/node-http.ts';
import { whereLogged } from './log-sink.ts';
import { type Status, statusSchema } from './status.ts';

/** A daemon that does not answer within this is stuck or stopped; say so instead of waiting with it. */
const answerMs = 5000;
/** What is under way from the members ends first, and reads that have memory pinned. */
const retetherMs = 60_000;

/** Without resend, reads that wait are answered first. */
const handoverMs = 30_000;

const refusalSchema = z.object({ code: z.string(), message: z.string() });

export const untetherRequestSchema = z.object({
  /** Bytes a second at most. */
  backgroundRate: z.number().int().positive().optional(),
});

export const retetherRequestSchema = z.object({
  /** Also when no member serves the image now. */
  force: z.boolean().default(false),
});

export const memberChangesSchema = z.object({
  add: z.array(z.string()),
  remove: z.array(z.string()),
  addresses: z.record(z.string(), z.array(z.string())).optional(),
  ca: z.array(z.string()).optional(),
});
const memberChangeSchema = z.object({ added: z.array(z.string()), removed: z.array(z.string()) });

/** A socket that takes our descriptors, see descriptor-keeper.ts. */
export const handoverRequestSchema = z.object({ inbox: z.string() });
/** Who goes on. */
export const handoverCommitSchema = z.object({ pid: z.number().int().positive() });

/** All of these throw TetherfsError: NO_DAEMON when nobody listens, DAEMON_SILENT when no answer comes within 5 s. */
export async function readStatus(controlPath: string): Promise<Status> {
  const parsed = statusSchema.safeParse(JSON.parse(await ask(controlPath, 'GET', '/status')));
  if (parsed.success) return parsed.data;
  throw new TetherfsError(
    'DAEMON_OTHER_VERSION',
    `the daemon at ${controlPath} answers in a form that this version does not know (${parsed.error.issues[0]?.path.join('.')}); use the tetherfs it was started with`,
    { cause: parsed.error },
  );
}

/** Its process id; also of a daemon whose version tells other things than ours. */
export async function readDaemonPid(controlPath: string): Promise<number> {
  return z.object({ pid: z.number() }).parse(JSON.parse(await ask(controlPath, 'GET', '/status'))).pid;
}

/** The trace of first touches so far, as the text of a trace file. @throws TetherfsError NO_TRACE when none is recorded. */
export function readTrace(controlPath: string): Promise<string> {
  return ask(controlPath, 'GET', '/trace');
}

/** Begins to fill RAM behind the reads. @throws TetherfsError when it does not fit. */
export async function untether(controlPath: string, how: z.infer<typeof untetherRequestSchema>): Promise<void> {
  await ask(controlPath, 'POST', '/untether', how);
}

/** Lets the RAM go again; resolves when it is free. @throws TetherfsError when readers pass through to it, or no member serves the image. */
export async function retether(controlPath: string, force: boolean): Promise<void> {
  await ask(controlPath, 'POST', '/retether', { force }, retetherMs);
}

/** Members come and go, all of them or none. @throws TetherfsError as the daemon says why not. */
export async function changeMembers(
  controlPath: string,
  changes: z.infer<typeof memberChangesSchema>,
): Promise<z.infer<typeof memberChangeSchema>> {
  return memberChangeSchema.parse(JSON.parse(await ask(controlPath, 'POST', '/members', changes)));
}

/** Has the file of `--members-from` read again. @throws TetherfsError as the daemon says why not. */
export async function reloadMembers(controlPath: string): Promise<z.infer<typeof memberChangeSchema>> {
  return memberChangeSchema.parse(JSON.parse(await ask(controlPath, 'POST', '/members/reload')));
}

/** Has the daemon send copies of all its descriptors to `inbox`. Changes nothing. */
export async function askForHandover(controlPath: string, inbox: string): Promise<void> {
  await ask(controlPath, 'POST', '/handover/offer', { inbox });
}

/** Has the daemon let go of its mount, for good. @throws TetherfsError when it does not: it serves on then. */
export async function commitHandover(controlPath: string, pid: number): Promise<void> {
  await ask(controlPath, 'POST', '/handover/commit', { pid }, handoverMs);
}

function ask(socketPath: string, method: string, path: string, body?: unknown, timeout = answerMs): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'content-length': Buffer.byteLength(sent) };
    const asked = request({ socketPath, path, method, headers, timeout }, (response) => {
      text(response).then((answer) => {
        if (response.statusCode === 200) resolve(answer);
        else reject(refusal(socketPath, answer));
      }, reject);
    });
    asked.on('timeout', () => {
      asked.destroy(
        new TetherfsError('DAEMON_SILENT', `the daemon at ${socketPath} did not answer within ${timeout / 1000} s`),
      );
    });
    asked.on('error', (cause) => reject(explain(socketPath, cause)));
    asked.end(sent);
  });
}

function refusal(socketPath: string, answer: string): TetherfsError {
  const { code, message } = refusalSchema.parse(JSON.parse(answer));
  if (code === 'NO_SUCH_REQUEST') {
    return new TetherfsError('DAEMON_OTHER_VERSION', `the daemon at ${socketPath} is of a version that cannot do that`);
  }
  return new TetherfsError(code, message);
}

function explain(socketPath: string, cause: Error): TetherfsError {
  if (cause instanceof TetherfsError) return cause;
  const code = errorCode(cause);
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new TetherfsError(
      'NO_DAEMON',
      `no tetherfs answers at ${socketPath}; if it is mounted its daemon has died, or is being started again: ${whereLogged()}`,
      { cause },
    );
  }
  if (code === 'EACCES') {
    return new TetherfsError('NOT_ROOT', `${socketPath} is for root; run this as root`, { cause });
  }
  return new TetherfsError('NO_DAEMON', `cannot ask the daemon at ${socketPath}: ${cause.message}`, { cause });
}
