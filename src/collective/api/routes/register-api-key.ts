/** POST self/registerapikey: a node that has a token shows the crypt(3) text of its new key, from anywhere. The same as a grant with a proof. */
import { cryptText, nodeName } from '../../../protocol/grant.ts';
import { nodeHeader } from '../../../protocol/headers.ts';
import type { Routes } from '../context.ts';
import { clientAddress } from '../who-asks.ts';

export const registerApiKey: Routes = (app, context) => {
  app.post<{ Body: Buffer | undefined }>('/self/registerapikey', { bodyLimit: 64 }, async (request, reply) => {
    const refuse = (status: number, words: string) => reply.code(status).type('text/plain').send(words);
    const node = nodeHeader(request.headers, 'node') ?? '';
    const proof = nodeHeader(request.headers, 'proof') ?? '';
    const hash = request.body?.toString('latin1') ?? '';
    if (proof === '' || hash === '' || !nodeName.test(node)) return refuse(401, 'Unauthorized');
    if (!/^[A-Za-z0-9+/]{43}=$/.test(proof) || !cryptText.test(hash)) return refuse(400, 'Bad Request');
    const address = clientAddress(request, context);
    if (context.attempts.isReached(node, address)) return refuse(429, 'too many wrong proofs: try again later');
    // Names that somebody has made up fill no audit.
    if ((await context.nodes.get(node)) === undefined) return refuse(401, 'Unauthorized');
    const why = await context.grants.give(node, hash, { address, isTrusted: false }, Buffer.from(proof, 'base64'));
    if (why === undefined) return reply.type('text/plain').send('Accepted');
    context.attempts.count(node, address);
    return refuse(401, 'Unauthorized');
  });
};
