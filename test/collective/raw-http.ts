/** HTTP as bytes on a socket: what a client library would make good before it is sent arrives as it is. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Where {
  port: 80 | 443;
  host?: string;
}

/** Sends it, and reads until the other side ends, or has been silent for so many ms. @returns all that came. */
export async function exchange(
  { port, host = '127.0.0.1' }: Where,
  bytes: string | Buffer,
  silentMs = 5_000,
): Promise<string> {
  const socket = await openTo({ port, host });
  let said = '';
  return new Promise((resolve) => {
    socket.setTimeout(silentMs, () => socket.destroy());
    socket.on('data', (data: Buffer) => {
      said += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(said));
    socket.write(bytes, 'latin1');
  });
}

export function openTo({ port, host = '127.0.0.1' }: Where): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket: Socket =
      port === 443
        ? connectTls({ host, port, rejectUnauthorized: false }, () => resolve(socket))
        : connect({ host, port }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/**
 * Asks for each path, many on one connection, whatever ends it on the way.
 * @param onAnswer told the bytes of each answer, and the path.
 */
export async function askForPaths(
  where: Where,
  paths: readonly string[],
  onAnswers: (answers: string, paths: readonly string[]) => void,
): Promise<void> {
  let left = paths;
  while (left.length > 0) {
    const batch = left.slice(0, 40);
    const requests = batch.map((path, index) => {
      const last = index === batch.length - 1 ? 'Connection: close\r\n' : '';
      return `GET ${path} HTTP/1.1\r\nHost: member\r\n${last}\r\n`;
    });
    const said = await exchange(where, requests.join(''));
    onAnswers(said, batch);
    // What cannot be a request ends the connection, and what came behind it on it.
    const answered = said.match(/HTTP\/1\.1 \d{3} /g)?.length ?? 0;
    left = left.slice(Math.max(answered, 1));
  }
}
