/**
 * What a member listens on, bound before it is anybody but root, and served afterwards: connections that come meanwhile wait. Nothing here knows what is spoken.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { TetherfsError } from '../base/errors.ts';
import { describeListenError } from '../base/listen-address.ts';
import { discoveryPort } from '../protocol/discovery.ts';

export class Port {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #early: Socket[] = [];
  #serve: ((socket: Socket) => void) | undefined;

  /** @throws TetherfsError LISTEN */
  static async bind(where: ListenOptions, most?: number): Promise<Port> {
    const port = new Port();
    if (most !== undefined) port.#server.maxConnections = most;
    const name = where.path ?? `${where.host} port ${where.port}`;
    await new Promise<void>((resolve, reject) => {
      port.#server.once('error', (cause) =>
        reject(new TetherfsError('LISTEN', `cannot listen on ${name}: ${describeListenError(cause)}`, { cause })),
      );
      port.#server.listen({ backlog: 4_096, ...where }, resolve);
    });
    // Of one connection that could not be accepted: the others can.
    port.#server.on('error', () => {});
    return port;
  }

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      if (this.#serve !== undefined) this.#serve(socket);
      else this.#early.push(socket);
    });
  }

  /** Every connection from now on, and those that have come already. */
  serve(serve: (socket: Socket) => void): void {
    this.#serve = serve;
    for (const socket of this.#early.splice(0)) serve(socket);
  }

  /** No connection any more. @param patienceMs how long those that there are may go on. Resolves when none is left. */
  close(patienceMs = 0): Promise<void> {
    for (const socket of this.#early.splice(0)) socket.destroy();
    return new Promise((resolve) => {
      const impatience = setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy();
      }, patienceMs);
      this.#server.close(() => {
        clearTimeout(impatience);
        resolve();
      });
    });
  }
}

/** The port of discovery, on IPv4 and IPv6. @throws TetherfsError LISTEN */
export async function bindDiscovery(): Promise<UdpSocket[]> {
  const sockets = [
    createSocket({ type: 'udp4', reuseAddr: true }),
    createSocket({ type: 'udp6', reuseAddr: true, ipv6Only: true }),
  ];
  try {
    for (const socket of sockets) await bindUdp(socket);
    return sockets;
  } catch (cause) {
    for (const socket of sockets) socket.close();
    const what = `cannot listen on port ${discoveryPort}: ${describeListenError(cause)}; --no-discovery does without`;
    throw new TetherfsError('LISTEN', what, { cause });
  }
}

function bindUdp(socket: UdpSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(discoveryPort, () => {
      socket.off('error', reject);
      // Of datagrams that could not be sent: the node asks again.
      socket.on('error', () => {});
      resolve();
    });
  });
}
