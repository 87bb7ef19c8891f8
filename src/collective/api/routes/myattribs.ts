/** GET self/myattribs: all that is known of the node, but secrets. */
import { isSecretAttribute } from '../../attributes.ts';
import { type Routes, send, whoAsks } from '../context.ts';

export const myattribs: Routes = (app) => {
  app.get('/self/myattribs', async (request, reply) => {
    const { attributes } = whoAsks(request);
    const shown = Object.entries(attributes).filter(([name]) => !isSecretAttribute(name));
    return send(reply, request, Object.fromEntries(shown));
  });
};
