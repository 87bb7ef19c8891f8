/**
 * A member's connections: HTTP/1.1, one request at a time on each, picked by us. Each is an undici `Client` over a socket
 * that we make ourselves, so that one that hangs while it connects can be destroyed at once, TLS sessions are resumed, and a
 * name that was resolved before the mount is not looked up again on the way of a read. Deadlines are the caller's: all of
 * undici's timers are off, because they tick in half seconds.
 */
import type { X509Certificate } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import type { Dispatcher } from 'undici';
// The package's door loads fetch, WebSocket, caches and mocks as well: twice the time.
import Client from 'undici/lib/dispatcher/client.js';
import type { Addresses } from './addresses.ts';
import type { MemberUrl } from './member-url.ts';

/** An idle connection is closed by us after this long, unless the server announces less. */
const keepAliveMs = 30_000;

/** Whose certificate the member showed, and who signed it; on errors of its connection as `shown`. */
export interface ShownCertificate {
  subject: string;
  issuer: string;
  /** Whose certificates of those it showed are not valid at this moment. */
  outOfDate: string[];
}

/** Chains are short; one that goes in a circle is not. */
const longestChain = 10;

function describeShown(socket: TLSSocket): ShownCertificate | undefined {
  const own = socket.getPeerX509Certificate();
  if (own === undefined) return undefined;
  const outOfDate: string[] = [];
  const now = Date.now();
  let one: X509Certificate | undefined = own;
  for (let depth = 0; one !== undefined && depth < longestChain; depth++, one = one.issuerCertificate) {
    if (now < Date.parse(one.validFrom) || now > Date.parse(one.validTo)) outOfDate.push(nameOf(one.subject));
  }
  return { subject: nameOf(own.subject), issuer: nameOf(own.issuer), outOfDate };
}

/** A distinguished name on one line. */
function nameOf(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ') || 'nobody';
}

/** Makes sockets to one member, at its current address. */
export class Connector {
  readonly #url: MemberUrl;
  readonly #addresses: Addresses;
  readonly #secureContext: SecureContext | undefined;
  #session: Buffer | undefined;

  constructor(url: MemberUrl, addresses: Addresses, secureContext: SecureContext | undefined) {
    this.#url = url;
    this.#addresses = addresses;
    this.#secureContext = secureContext;
  }

  /** A socket under way. The next one tries the next address when this one does not connect. */
  connect(): Socket {
    const host = this.#addresses.current;
    const target = { host, port: this.#url.port, noDelay: true, keepAlive: true };
    const socket = this.#url.secure ? this.#connectTls(target) : connectTcp(target);
    let connected = false;
    return socket
      .once('connect', () => {
        connected = true;
      })
      .once('close', () => {
        if (!connected) this.#addresses.failed(host);
      });
  }

  #connectTls(target: { host: string; port: number }): Socket {
    const { hostname, address } = this.#url;
    const socket = connectTls({
      ...target,
      ...(this.#secureContext !== undefined && { secureContext: this.#secureContext }),
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
      checkServerIdentity: (_host, certificate) => checkServerIdentity(hostname, certificate),
      ...(address === undefined && { servername: hostname }),
      ...(this.#session !== undefined && { session: this.#session }),
    });
    // Before Node looks whether it believes it, and forgets it if it does not.
    let shown: ShownCertificate | undefined;
    socket.prependListener('secure', () => {
      shown = describeShown(socket);
    });
    return socket
      .on('error', (error) => Object.assign(error, { shown }))
      .on('session', (session: Buffer) => {
        this.#session = session;
      });
  }
}

export class Connection {
  readonly #client: Client;
  #socket: Socket | undefined;
  #established = false;
  #destroyed = false;
  /** Called when TCP, then TLS, came about: signs of life before the request is sent. */
  onStep: () => void = () => {};

  constructor(url: MemberUrl, connector: Connector) {
    this.#client = new Client(`${url.secure ? 'https' : 'http'}://${url.hostHeader}`, {
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      connect: (_options, callback) => {
        const socket = connector.connect();
        this.#socket = socket;
        const onFailed = (error: Error) => callback(error, null);
        socket
          .once('error', onFailed)
          .once('connect', () => this.onStep())
          .once('close', () => {
            this.#established = false;
          })
          .once(url.secure ? 'secureConnect' : 'connect', () => {
            socket.off('error', onFailed);
            this.#established = true;
            this.onStep();
            callback(null, socket);
          });
      },
    });
  }

  /** Whether its socket is connected: the next request pays no connection set-up. */
  get established(): boolean {
    return this.#established;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(options, handler);
  }

  /** Ends it at once, also while it connects. The request on it fails, unless its handler no longer listens. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    void this.#client.destroy(null);
    this.#socket?.on('error', () => {}).destroy();
  }
}

/** The connections of one member. Idle ones are reused most recently used first, so that surplus ones age and close. */
export class ConnectionPool {
  readonly #url: MemberUrl;
  readonly #connector: Connector;
  readonly #limit: number;
  readonly #all = new Set<Connection>();
  readonly #idle: Connection[] = [];
  #retired = false;

  constructor(url: MemberUrl, connector: Connector, limit = 16) {
    this.#url = url;
    this.#connector = connector;
    this.#limit = limit;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Whether `take` may be called. */
  get hasRoom(): boolean {
    return this.#idle.length > 0 || this.#all.size < this.#limit;
  }

  /** An idle connection, or a new one. */
  take(): Connection {
    return this.#idle.pop() ?? this.takeFresh();
  }

  /** A new connection, whatever is idle. May exceed the limit: probes and replacements of stalled connections must not wait. */
  takeFresh(): Connection {
    const connection = new Connection(this.#url, this.#connector);
    // What is asked on it fails at once.
    if (this.#retired) connection.destroy();
    else this.#all.add(connection);
    return connection;
  }

  /** Gives a connection back after its request has ended. */
  giveBack(connection: Connection): void {
    connection.onStep = () => {};
    if (connection.destroyed || this.#all.size > this.#limit) this.discard(connection);
    else this.#idle.push(connection);
  }

  /** Closes a connection at once, with the request on it. */
  discard(connection: Connection): void {
    this.#all.delete(connection);
    connection.destroy();
  }

  /** Closed for good: whoever still comes for a connection gets none that connects. */
  retire(): void {
    this.#retired = true;
    this.close();
  }

  close(): void {
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
    this.#idle.length = 0;
  }
}
