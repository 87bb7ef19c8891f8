/** Who a request is from: the node by its two headers, the addresses by the connection, or by what the proxy in front of us says. */
import { isIP } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { nodeName } from '../../protocol/grant.ts';
import { nodeHeader } from '../../protocol/headers.ts';
import { plainAddress } from '../addresses.ts';
import { type ApiContext, isNegotiable } from './context.ts';

/** Of the client. */
export function clientAddress(request: FastifyRequest, { isBehindProxy }: Pick<ApiContext, 'isBehindProxy'>): string {
  if (!isBehindProxy) return plainAddress(request.socket.remoteAddress);
  // The last one is what the proxy itself has seen; before it stands what a client has made up.
  const forwarded = String(request.headers['x-forwarded-for'] ?? '')
    .split(',')
    .at(-1);
  return plainAddress(forwarded?.trim());
}

/** Ours that the client has called: what tells by which network it came. Empty when it is not known. */
export function calledAddress(request: FastifyRequest, { isBehindProxy }: Pick<ApiContext, 'isBehindProxy'>): string {
  if (!isBehindProxy) return plainAddress(request.socket.localAddress);
  const host =
    String(request.headers['x-forwarded-host'] ?? '')
      .split(',')
      .at(-1)
      ?.trim() ?? '';
  const bare = /^\[([^\]]+)\]/.exec(host)?.[1] ?? host.replace(/:\d*$/, '');
  return isIP(plainAddress(bare)) === 0 ? '' : plainAddress(bare);
}

/** Before every route of a node. Whatever is wrong with a key is said in the same word. */
export function insistOnKey(context: ApiContext) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const node = nodeHeader(request.headers, 'node');
    const key = nodeHeader(request.headers, 'key');
    const address = clientAddress(request, context);
    const unauthorized = () => reply.code(401).type('text/plain').send('Unauthorized');
    if (node === undefined || key === undefined || !nodeName.test(node)) return unauthorized();
    const verdict = await context.keys.check(node, key, address);
    if (verdict === 'later')
      return reply
        .code(429)
        .header('retry-after', '60')
        .type('text/plain')
        .send('too many wrong keys, or too many nodes at once: try again later');
    const attributes = verdict === 'right' ? await context.nodes.resolved(node) : undefined;
    if (attributes === undefined) return unauthorized();
    if (!isNegotiable(request))
      return reply.code(406).type('text/plain').send('give Accept: application/yaml or application/json');
    request.asking = { node, attributes, address, called: calledAddress(request, context) };
    return undefined;
  };
}
