/** POST self/remoteconfig/CATEGORY: the member runs the profile's ansible playbooks of that name against the node. GET self/remoteconfig/status: their words so far. */
import { outcomeHeader } from '../../../protocol/headers.ts';
import { addressesOf } from '../../names.ts';
import { profileOf, type Routes, whoAsks } from '../context.ts';

export const remoteConfig: Routes = (app, { playbooks }) => {
  app.post<{ Params: { '*': string } }>('/self/remoteconfig/*', { bodyLimit: 65_536 }, async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const own = addressesOf(attributes);
    const to = own.includes(address) || own.length === 0 ? address : (own[0] ?? address);
    const started = await playbooks.start({ node, profile: profileOf(attributes), category: request.params['*'], to });
    if (started === 'nothing') return reply.type('text/plain').send('OK');
    return reply.code(202).type('text/plain').send('Queued');
  });
  app.get('/self/remoteconfig/status', async (request, reply) => {
    const state = await playbooks.state(whoAsks(request).node);
    if (state === undefined) return reply.code(204).send();
    if (state.outcome !== undefined) reply.header(outcomeHeader, state.outcome);
    return reply.type('text/plain').send(state.words);
  });
};
