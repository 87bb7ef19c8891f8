/**
 * Asks a running daemon through its control socket. Never touches the mount.
 */
import { request } from 'node:http';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { type Status, statusSchema } from './status.ts';

/** A daemon that does not answer within this is stuck or stopped; say so instead of waiting with it. */
const answerMs = 5000;

/** @throws TetherfsError NO_DAEMON when nobody listens, DAEMON_SILENT when no answer comes within 5 s. */
export async function readStatus(controlPath: string): Promise<Status> {
  const body = await get(controlPath, '/status');
  const parsed = statusSchema.safeParse(JSON.parse(body));
  if (parsed.success) return parsed.data;
  throw new TetherfsError(
    'DAEMON_OTHER_VERSION',
    `the daemon at ${controlPath} answers in a form that this version does not know; use the tetherfs it was started with`,
    { cause: parsed.error },
  );
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: answerMs }, (response) => {
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(body));
      response.on('error', reject);
    });
    asked.on('timeout', () => {
      asked.destroy(
        new TetherfsError('DAEMON_SILENT', `the daemon at ${socketPath} did not answer within ${answerMs / 1000} s`),
      );
    });
    asked.on('error', (cause) => reject(explain(socketPath, cause)));
    asked.end();
  });
}

function explain(socketPath: string, cause: Error): TetherfsError {
  if (cause instanceof TetherfsError) return cause;
  const code = errorCode(cause);
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new TetherfsError('NO_DAEMON', `no tetherfs is running at ${socketPath}`, { cause });
  }
  if (code === 'EACCES') {
    return new TetherfsError('NOT_ROOT', `${socketPath} is for root; run this as root`, { cause });
  }
  return new TetherfsError('NO_DAEMON', `cannot ask the daemon at ${socketPath}: ${cause.message}`, { cause });
}
