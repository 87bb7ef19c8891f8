/** GET self/profileprivate/pending/FILE: a private file of the profile that the node is to boot, its image's key above all. */
import { type Routes, whoAsks } from '../context.ts';

export const profilePrivate: Routes = (app, { profiles, store }) => {
  app.get<{ Params: { '*': string } }>('/self/profileprivate/pending/*', async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const profile = attributes['deployment.pendingprofile'];
    if (profile === undefined) return reply.code(400).type('text/plain').send('No profile');
    const path = request.params['*'];
    const bytes = await profiles.pendingFile(profile, path);
    if (bytes === undefined) return reply.code(404).type('text/plain').send('Not found');
    await store.audit({ subject: node, event: 'private file', by: address, detail: `${profile}/${path}` });
    return reply.type('application/octet-stream').send(bytes);
  });
};
