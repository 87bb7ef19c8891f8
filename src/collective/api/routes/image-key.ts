/**
 * GET self/imagekey/HEX: the key of the image with that digest, whichever of the node's profiles it is of. Ours: a node that has mounted an image needs the key of that one, not of
 * what has been published since.
 */
import { profilesOf, type Routes, whoAsks } from '../context.ts';

export const imageKey: Routes = (app, { profiles, store }) => {
  app.get<{ Params: { hex: string } }>('/self/imagekey/:hex', async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const { hex } = request.params;
    for (const profile of profilesOf(attributes)) {
      const key = await profiles.imageKey(profile, hex);
      if (!key) continue;
      await store.audit({ subject: node, event: 'image key', by: address, detail: `${profile} sha256:${hex}` });
      return reply.type('application/octet-stream').send(key);
    }
    return reply.code(404).type('text/plain').send('Not found');
  });
};
