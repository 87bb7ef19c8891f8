/**
 * The control socket: HTTP over a unix socket that only root can open. It reads the daemon's state and never the mount, so it
 * answers while reads wait. What can be asked is a table of routes, which the daemon gives.
 */
import { chmodSync } from 'node:fs';
import type { IncomingMessage, Server } from 'node:http';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { describeError, TetherfsError } from '../base/errors.ts';
import { createServer } from '../base/node-http.ts';
import { controlDirectory, makeControlDirectory } from './control-path.ts';
import type { Listener } from './listeners.ts';
import { reachMachineRoot } from './machine-root.ts';
import { claimSocketFile, removeSocketFile } from './socket-file.ts';

/**
 * Answers by method and path, e.g. `GET /status`. A route takes the parsed JSON body (undefined when there is none) and returns what is
 * sent as JSON, or a string, sent as it is. What it throws goes to the client: see control-client.ts.
 */
export type ControlRoutes = Readonly<Record<string, (body: unknown) => unknown>>;

const hint = '; give another place for the control socket with --control';
/** More than any request of ours: one may hold the CAs of a system. */
const largestBodyBytes = 4 * 1024 * 1024;

/** What is being answered when it leaves is still answered. @throws TetherfsError CONTROL_IN_USE when somebody answers at `path`, CONTROL. */
export async function startControlServer(path: string, routes: ControlRoutes): Promise<Listener> {
  if (dirname(path) === controlDirectory) makeControlDirectory(hint);
  await claimSocketFile(path, 'control socket', 'CONTROL');
  const server = createServer(async (request, response) => {
    const { status, body } = await answer(request, routes);
    const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
    response.writeHead(status, { 'content-type': type, connection: 'close' });
    response.end(typeof body === 'string' ? body : `${JSON.stringify(body)}\n`);
  });
  server.maxConnections = 64;
  await listen(server, path);
  chmodSync(path, 0o600);
  let left = false;
  const leave = () => {
    if (!left) removeSocketFile(path);
    left = true;
  };
  return {
    leave,
    close() {
      server.close();
      if (left) server.closeIdleConnections();
      else server.closeAllConnections();
      leave();
    },
  };
}

async function answer(request: IncomingMessage, routes: ControlRoutes): Promise<{ status: number; body: unknown }> {
  const route = routes[`${request.method} ${request.url}`];
  if (route === undefined) return { status: 404, body: { code: 'NO_SUCH_REQUEST', message: 'no such request' } };
  reachMachineRoot();
  try {
    if (Number(request.headers['content-length'] ?? 0) > largestBodyBytes) throw new Error('the request is too long');
    const sent = await text(request);
    return { status: 200, body: (await route(sent === '' ? undefined : JSON.parse(sent))) ?? {} };
  } catch (error) {
    const code = error instanceof TetherfsError ? error.code : 'DEFECT';
    return { status: 409, body: { code, message: describeError(error) } };
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const mask = process.umask(0o177);
    server.once('error', (cause) =>
      reject(
        new TetherfsError('CONTROL', `cannot listen on control socket ${path}: ${describeError(cause)}${hint}`, {
          cause,
        }),
      ),
    );
    server.listen(path, resolve);
    process.umask(mask);
  });
}
