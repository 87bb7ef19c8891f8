/**
 * TCP port 13001, where nodes ask for their keys: sockets around protocol/grant.ts. A node speaks from a privileged port, or it is not root there; it has ten seconds for all of it. Who is
 * refused is told nothing: the connection is closed.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { echoBytes, GrantMember, type GrantRequest, highestClientPort, type MemberTurn } from '../../protocol/grant.ts';
import { ProtocolError } from '../../protocol/protocol-error.ts';
import { plainAddress } from '../addresses.ts';
import type { AttemptLimit } from '../attempt-limit.ts';
import { listed } from '../attributes.ts';
import type { Grants, Peer } from '../grants.ts';
import { type LocalInterfaces, liesIn } from '../local-interfaces.ts';
import type { Nodes } from '../nodes.ts';

export interface GrantListenerParts {
  grants: Grants;
  nodes: Nodes;
  interfaces: LocalInterfaces;
  /** Of wrong proofs. */
  attempts: AttemptLimit;
  /** Of refusals that are audited: a node that waits to be armed asks again and again, and that is no try of anything. */
  audited: AttemptLimit;
  log: Log;
  /** Told how each ended. */
  onEnded: (how: 'granted' | 'refused' | 'broken') => void;
}

const patienceMs = 10_000;
/** Connections at once; more wait to be accepted. */
export const mostGrantConnections = 10_000;

/** One connection. */
export function answerGrant(socket: Socket, parts: GrantListenerParts): void {
  const { log, onEnded } = parts;
  const address = plainAddress(socket.remoteAddress);
  const member = new GrantMember();
  const deadline = setTimeout(() => socket.destroy(), patienceMs);
  let how: 'granted' | 'refused' | 'broken' = 'broken';
  socket.on('error', () => {});
  socket.on('close', () => {
    clearTimeout(deadline);
    onEnded(how);
  });
  if ((socket.remotePort ?? 0) > highestClientPort) {
    socket.destroy();
    return;
  }
  let request: GrantRequest | undefined;
  /** One turn after the other: bytes may come while the store is asked. */
  let turns = Promise.resolve();
  const refuse = (node: string, why: string) => {
    how = 'refused';
    log.info('a key is refused', { node, address, why });
    socket.destroy();
  };
  const take = async (turn: MemberTurn): Promise<void> => {
    if (turn.kind === 'request') {
      request = turn.request;
      const { node, proof } = request;
      const why = await whyNot(request, address, parts);
      if (why !== undefined) refuse(node, why);
      else {
        socket.write(member.admit(randomBytes(echoBytes)));
        if (proof !== undefined) log.debug('a node with a token asks for a key', { node, address });
        await take(member.receive(Buffer.alloc(0)));
      }
    } else if (turn.kind === 'hash' && request !== undefined) {
      const { node, proof } = request;
      const why = await parts.grants.give(node, turn.hash, await peerOf(node, address, parts), proof);
      if (why !== undefined) {
        parts.attempts.count(node, address);
        refuse(node, why);
        return;
      }
      how = 'granted';
      log.info('a key is granted', { node, address });
      socket.end(member.accept());
    }
  };
  const onBytes = async (bytes: Buffer): Promise<void> => {
    if (socket.destroyed) return;
    try {
      await take(member.receive(bytes));
    } catch (error) {
      if (!(error instanceof ProtocolError)) log.error('a grant failed', { address, error: describeError(error) });
      socket.destroy();
    }
  };
  socket.on('data', (bytes: Buffer) => {
    turns = turns.then(() => onBytes(bytes));
  });
  socket.write(member.banner);
}

async function whyNot(
  { node, proof }: GrantRequest,
  address: string,
  parts: GrantListenerParts,
): Promise<string | undefined> {
  if (parts.attempts.isReached(node, address)) return 'too many tries';
  if ((await parts.nodes.get(node)) === undefined) return 'there is no such node';
  const why = await parts.grants.refusal(node, await peerOf(node, address, parts), proof !== undefined);
  if (why !== undefined && !parts.audited.isReached(node, address)) {
    parts.audited.count(node, address);
    await parts.grants.noteRefusal(node, address, why);
  }
  return why;
}

async function peerOf(node: string, address: string, { nodes, interfaces }: GrantListenerParts): Promise<Peer> {
  if (interfaces.isNear(address)) return { address, isTrusted: true };
  const subnets = listed((await nodes.resolved(node))?.['trusted.subnets']);
  return { address, isTrusted: liesIn(address, subnets) };
}
