/** GET healthz: 200 while the store answers. */
import type { Routes } from '../context.ts';

export const health: Routes = (app, { nodes }) => {
  app.get('/healthz', async (_request, reply) => {
    await nodes.defaults();
    return reply.type('text/plain').send('ok\n');
  });
};
