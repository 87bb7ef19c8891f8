/** GET self/whoami: the name of a node that knows its UUID and MAC addresses alone. Only for the neighbourhood: names are nobody else's business. */
import { nodeHeader } from '../../../protocol/headers.ts';
import { listed } from '../../attributes.ts';
import { liesIn } from '../../local-interfaces.ts';
import type { Routes } from '../context.ts';
import { clientAddress } from '../who-asks.ts';

/** Identities in one question at most. */
const mostIds = 64;

export const whoami: Routes = (app, context) => {
  app.get('/self/whoami', async (request, reply) => {
    const ids = nodeHeader(request.headers, 'ids');
    if (ids === undefined) return reply.code(400).type('text/plain').send('Bad Request');
    const address = clientAddress(request, context);
    const { nodes, interfaces } = context;
    const trusted = listed((await nodes.defaults())['trusted.subnets']);
    if (interfaces.isNear(address) || liesIn(address, trusted)) {
      for (const id of ids.split('/').slice(0, mostIds)) {
        const [, kind, value] = /^(uuid|mac)=([0-9a-f:-]+)$/i.exec(id) ?? [];
        const node = value && (await nodes.find(kind?.toLowerCase() === 'mac' ? 'mac' : 'uuid', value));
        if (node) return reply.type('text/plain').send(node);
      }
    }
    return reply.code(404).type('text/plain').send('Unknown');
  });
};
