/** A node's request for a key, to one member: a socket around protocol/grant.ts. */
import { connect, type Socket } from 'node:net';
import { describeError, errorCode } from '../base/errors.ts';
import { GrantNode, grantPort, highestClientPort } from '../protocol/grant.ts';

export type GrantOutcome =
  | { kind: 'granted' }
  /** Not armed, not from there, or the token is wrong: members do not say. */
  | { kind: 'denied' }
  /** The hash was shown, and no answer came: it may be granted. */
  | { kind: 'lost' }
  /** Nobody answered, or somebody who is no member. */
  | { kind: 'unreachable'; why: string };

export interface GrantQuestion {
  /** Of the member, with its zone. */
  address: string;
  node: string;
  /** crypt(3) text of the new key. */
  hash: string;
  token?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

const patienceMs = 10_000;
/** Who is root proves it by one of these. */
const lowestPort = 600;
const tries = 20;

export async function askForGrant(question: GrantQuestion): Promise<GrantOutcome> {
  for (let left = tries; ; left--) {
    const localPort = lowestPort + Math.floor(Math.random() * (highestClientPort - lowestPort));
    try {
      return await askFrom(localPort, question);
    } catch (error) {
      // Another connection there has that port, or had it a moment ago.
      if (left > 0 && (errorCode(error) === 'EADDRINUSE' || errorCode(error) === 'EADDRNOTAVAIL')) continue;
      return { kind: 'unreachable', why: describeError(error) };
    }
  }
}

function askFrom(localPort: number, { address, node, hash, token, signal }: GrantQuestion): Promise<GrantOutcome> {
  const side = new GrantNode(node, hash, token);
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host: address, port: grantPort, localPort });
    const deadline = setTimeout(() => socket.destroy(new Error('no answer in time')), patienceMs);
    const onAbort = () => socket.destroy(new Error('interrupted'));
    signal?.addEventListener('abort', onAbort);
    let hasSpoken = false;
    /** Of a connection that has ended without a word. */
    const ending = (): GrantOutcome => ({ kind: side.isUndecided ? 'lost' : 'denied' });
    socket.on('data', (bytes: Buffer) => {
      try {
        const { send, verdict } = side.receive(bytes);
        if (send !== undefined) {
          hasSpoken = true;
          socket.write(send);
        }
        if (verdict === undefined) return;
        socket.end();
        resolve({ kind: verdict });
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => {
      // A member that closes while we speak has denied.
      if (hasSpoken && (errorCode(error) === 'ECONNRESET' || errorCode(error) === 'EPIPE')) resolve(ending());
      else reject(error);
    });
    socket.on('close', () => {
      clearTimeout(deadline);
      signal?.removeEventListener('abort', onAbort);
      // After an answer these say nothing.
      if (hasSpoken) resolve(ending());
      else
        reject(
          new Error(
            'it closes the connection at once: is that a member, and is its port of grants reached from a port below 1000?',
          ),
        );
    });
  });
}
