/**
 * A member that nginx cannot play: a real TCP server that answers range requests rightly, or wrongly in one chosen way. The
 * way can be changed at any time and holds for requests that come from then on.
 */
import { createServer, type Server, type Socket } from 'node:net';

export type Behaviour =
  | 'good'
  | 'whole-file' // 200 for a part
  | 'short-body' // closes before the body's end
  | 'long-body' // announces and sends more than was asked for
  | 'chunked-long' // sends more than was asked for without announcing it
  | 'other-range' // Content-Range of another place
  | 'no-content-range'
  | 'other-size'
  | 'size-said' // `saidSize` instead of the file's
  | 'redirect'
  | 'gzip'
  | 'multipart'
  | 'html' // 200, an error page
  | 'not-found'
  | 'range-unsatisfiable'
  | 'unavailable' // 503
  | 'not-http'
  | 'reset' // RST in the middle of the body
  | 'reset-before' // RST instead of an answer
  | 'stall-body' // half a body, then silence
  | 'stall-head' // silence after the request
  | 'drip' // a byte at a time, without end
  | 'changed' // another ETag
  | 'wrong-bytes' // right in every header
  | 'only-ends' // good for the first and last 64 KiB, as a probe asks for, else Content-Range of another place
  // Unusual, but right:
  | 'capped' // no more than `cap` bytes an answer
  | 'capped-closing' // the same, and each answer ends its connection, as HTTP/1.0 has it
  | 'size-untold' // Content-Range: bytes 0-9/*
  | 'other-case' // Content-Range: Bytes …, and an object store's aws-chunked
  | 'blank-behind' // a blank behind the number of Content-Length
  | 'byte-by-byte' // chunked, a byte a chunk
  | 'etags-in-turn' // several servers behind one address
  | 'few-at-once' // 503 beyond `mostAtOnce`
  | 'busy-in-turn' // 503 to every second request: of two servers behind one address one is ill
  | 'close-idle' // good, but closes the connection when the next request comes on it
  | 'hang-up'; // good, and closes the connection after each answer without having said so

export class MisbehavingServer implements AsyncDisposable {
  behaviour: Behaviour;
  /** For ranges that touch neither end of the file, which are all that a probe asks for. */
  beyondEnds: Behaviour | undefined;
  /** Its answers to requests for ranges are right before any of that. */
  goodWhile = () => false;
  /** What a changed file's ETag is. */
  etag = '"first"';
  /** More headers of each answer. */
  headers: readonly string[] = [];
  image: Uint8Array;
  /** What every request without a range gets; undefined: 404. */
  sidecar: Uint8Array | undefined = Buffer.from('tree');
  /** ms before each answer. */
  delayMs = 0;
  /** Bytes. */
  cap = 65_536;
  mostAtOnce = 2;
  /** What is asked on a connection is not read while an earlier one is open. */
  oneAtATime = false;
  saidSize = '';
  location = 'http://127.0.0.1/elsewhere';
  /** Answers with 503. */
  refused = 0;
  #underWay = 0;
  requests = 0;
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(image: Uint8Array, behaviour: Behaviour) {
    this.image = image;
    this.behaviour = behaviour;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(image: Uint8Array, behaviour: Behaviour = 'good', port = 0): Promise<MisbehavingServer> {
    const server = new MisbehavingServer(image, behaviour);
    await new Promise<void>((resolve) => server.#server.listen(port, '127.0.0.1', resolve));
    return server;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the server does not listen');
    return `http://127.0.0.1:${address.port}/os/demo/rootimg.sfs`;
  }

  /** Ends every connection, as a server does that goes away; it still listens. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    if (this.oneAtATime && this.#sockets.size > 1) {
      const [first] = this.#sockets;
      socket.pause();
      first?.once('close', () => socket.resume());
    }
    let served = 0;
    let head = '';
    socket
      .setNoDelay(true)
      .on('error', () => {})
      .on('close', () => this.#sockets.delete(socket))
      .on('data', (data) => {
        head += data.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        const range = /range: bytes=(\d+)-(\d+)/i.exec(head);
        head = '';
        this.requests++;
        const closes = this.behaviour === 'close-idle' && served > 0;
        const few = this.behaviour === 'few-at-once';
        if (few && this.#underWay === this.mostAtOnce) {
          this.refused++;
          socket.write('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n');
          return;
        }
        this.#underWay++;
        const respond = () => {
          this.#underWay--;
          if (range === null) this.#answerWhole(socket);
          else if (closes) socket.destroy();
          else this.#answer(socket, Number(range[1]), Number(range[2]));
        };
        served++;
        if (this.delayMs > 0) setTimeout(respond, this.delayMs);
        else respond();
      });
  }

  /** Whatever lies beside the image. */
  #answerWhole(socket: Socket): void {
    if (this.sidecar === undefined) {
      socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if (this.behaviour === 'byte-by-byte') {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      socket.write(byteByByte(this.sidecar));
      return;
    }
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${this.sidecar.length}\r\n\r\n`);
    socket.write(this.sidecar);
  }

  #answer(socket: Socket, first: number, wantedLast: number): void {
    const size = this.image.length;
    const last = Math.min(wantedLast, size - 1);
    const body = this.image.subarray(first, last + 1);
    const half = body.subarray(0, body.length >> 1);
    const respond = (status: string, headers: readonly string[], content: Uint8Array | string = '') => {
      const inTurn = this.behaviour === 'etags-in-turn' && this.requests % 2 === 0;
      const etag = this.behaviour === 'changed' || inTurn ? '"second"' : this.etag;
      socket.write([`HTTP/1.1 ${status}`, `ETag: ${etag}`, ...this.headers, ...headers, '', ''].join('\r\n'));
      socket.write(content);
    };
    const length = (bytes: number) => `Content-Length: ${bytes}`;
    const contentRange = `Content-Range: bytes ${first}-${last}/${size}`;
    const promise = ['206 Partial Content', [contentRange, length(body.length)]] as const;

    const touchesEnd = first === 0 || last === size - 1;
    const now = touchesEnd ? this.behaviour : (this.beyondEnds ?? this.behaviour);
    switch (this.goodWhile() ? 'good' : now) {
      case 'busy-in-turn':
        if (this.requests % 2 === 0) respond('503 Service Unavailable', [length(0)]);
        else respond(...promise, body);
        break;
      case 'hang-up':
        respond(...promise, body);
        socket.end();
        break;
      case 'good':
      case 'close-idle':
      case 'changed':
      case 'etags-in-turn':
      case 'few-at-once':
        respond(...promise, body);
        break;
      case 'capped':
      case 'capped-closing': {
        const some = body.subarray(0, this.cap);
        const closes = this.behaviour === 'capped-closing';
        const someRange = `Content-Range: bytes ${first}-${first + some.length - 1}/${size}`;
        respond('206 Partial Content', [someRange, closes ? 'Connection: close' : length(some.length)], some);
        if (closes) socket.end();
        break;
      }
      case 'size-untold':
        respond('206 Partial Content', [`Content-Range: bytes ${first}-${last}/*`, length(body.length)], body);
        break;
      case 'blank-behind':
        respond('206 Partial Content', [contentRange, `${length(body.length)} `], body);
        break;
      case 'byte-by-byte':
        respond('206 Partial Content', [contentRange, 'Transfer-Encoding: chunked'], byteByByte(body));
        break;
      case 'other-case': {
        const odd = [`Content-Range: BYTES ${first}-${last}/${size}`, 'Content-Encoding: aws-chunked'];
        respond('206 Partial Content', [...odd, length(body.length)], body);
        break;
      }
      case 'only-ends': {
        const within = first === 0 || last === size - 1 ? 0 : 1;
        const somewhere = `Content-Range: bytes ${first + within}-${last + within}/${size}`;
        respond('206 Partial Content', [somewhere, length(body.length)], body);
        break;
      }
      case 'whole-file':
        respond('200 OK', [length(size)], this.image);
        break;
      case 'short-body':
        respond(...promise, half);
        socket.end();
        break;
      case 'long-body':
        respond(
          '206 Partial Content',
          [contentRange, length(body.length + 10)],
          Buffer.concat([body, Buffer.alloc(10)]),
        );
        break;
      case 'chunked-long': {
        const all = Buffer.concat([body, Buffer.alloc(10)]);
        respond('206 Partial Content', [contentRange, 'Transfer-Encoding: chunked'], `${all.length.toString(16)}\r\n`);
        socket.write(all);
        socket.write('\r\n0\r\n\r\n');
        break;
      }
      case 'other-range':
        respond(
          '206 Partial Content',
          [`Content-Range: bytes ${first + 1}-${last + 1}/${size}`, length(body.length)],
          body,
        );
        break;
      case 'no-content-range':
        respond('206 Partial Content', [length(body.length)], body);
        break;
      case 'other-size':
        respond(
          '206 Partial Content',
          [`Content-Range: bytes ${first}-${last}/${size + 1}`, length(body.length)],
          body,
        );
        break;
      case 'size-said':
        respond(
          '206 Partial Content',
          [`Content-Range: bytes ${first}-${last}/${this.saidSize}`, length(body.length)],
          body,
        );
        break;
      case 'redirect':
        respond('302 Found', [`Location: ${this.location}`, length(0)]);
        break;
      case 'gzip':
        respond('206 Partial Content', [contentRange, length(body.length), 'Content-Encoding: gzip'], body);
        break;
      case 'multipart':
        respond('206 Partial Content', [length(body.length), 'Content-Type: multipart/byteranges; boundary=x'], body);
        break;
      case 'html':
        respond('200 OK', ['Content-Type: text/html', length(21)], '<html>Sorry!</html>\r\n');
        break;
      case 'not-found':
        respond('404 Not Found', [length(0)]);
        break;
      case 'range-unsatisfiable':
        respond('416 Range Not Satisfiable', [length(0)]);
        break;
      case 'unavailable':
        respond('503 Service Unavailable', [length(0)]);
        break;
      case 'not-http':
        socket.write('220 this is no web server\r\n');
        break;
      case 'reset':
        respond(...promise, half);
        setImmediate(() => socket.resetAndDestroy());
        break;
      case 'reset-before':
        socket.resetAndDestroy();
        break;
      case 'stall-body':
        respond(...promise, half);
        break;
      case 'stall-head':
        break;
      case 'drip': {
        respond(...promise, body.subarray(0, 1));
        const timer = setInterval(() => socket.write(body.subarray(0, 1)), 20);
        socket.on('close', () => clearInterval(timer));
        break;
      }
      case 'wrong-bytes':
        respond(...promise, Buffer.from(body).fill(0x5a));
        break;
    }
  }
}

/** Each byte a chunk of its own (RFC 9112, 7.1). */
function byteByByte(body: Uint8Array): Buffer {
  return Buffer.concat([
    ...[...body].map((byte) => Buffer.from([0x31, 13, 10, byte, 13, 10])),
    Buffer.from('0\r\n\r\n'),
  ]);
}
