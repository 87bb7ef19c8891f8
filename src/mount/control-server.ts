/**
 * The control socket: HTTP over a unix socket that only root can open. It reads the daemon's state and never the mount, so it
 * answers while reads wait. `GET /status` is the only request there is so far.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { TetherfsError } from '../base/errors.ts';
import { controlDirectory } from './control-path.ts';
import type { Status } from './status.ts';

export interface ControlServer {
  close(): void;
}

/** @throws TetherfsError CONTROL_IN_USE when another daemon answers at `path`. */
export async function startControlServer(path: string, status: () => Status): Promise<ControlServer> {
  if (dirname(path) === controlDirectory) mkdirSync(controlDirectory, { recursive: true, mode: 0o700 });
  if (await answers(path)) {
    throw new TetherfsError(
      'CONTROL_IN_USE',
      `control socket ${path} belongs to a running tetherfs; unmount that one first or choose another with --control`,
    );
  }
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    const known = request.method === 'GET' && request.url === '/status';
    const body = known ? JSON.stringify(status()) : JSON.stringify({ error: 'no such request' });
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/json', connection: 'close' });
    response.end(`${body}\n`);
  });
  server.maxConnections = 64;
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    close() {
      server.close();
      server.closeAllConnections();
      rmSync(path, { force: true });
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const mask = process.umask(0o177);
    server.once('error', (cause) =>
      reject(
        new TetherfsError('CONTROL_SOCKET', `cannot listen on control socket ${path}: ${cause.message}`, { cause }),
      ),
    );
    server.listen(path, resolve);
    process.umask(mask);
  });
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
