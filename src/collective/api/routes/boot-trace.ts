/** POST self/boottrace/HEX: what the node has read of that image while it booted, for the next image to be laid out by. Ours. */
import { profileOf, type Routes, whoAsks } from '../context.ts';

export const bootTrace: Routes = (app, { traces }) => {
  app.post<{ Params: { hex: string }; Body: Buffer | undefined }>('/self/boottrace/:hex', async (request, reply) => {
    const { node, attributes } = whoAsks(request);
    const profile = profileOf(attributes);
    if (profile === '') return reply.code(400).type('text/plain').send('No profile');
    await traces.take({ profile, hex: request.params.hex, node, text: request.body?.toString('utf8') ?? '' });
    return reply.type('text/plain').send('OK');
  });
};
