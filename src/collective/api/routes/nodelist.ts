/** GET self/nodelist: who may log in to the node: the nodes of ssh.trustnodes, or all; and the members. */
import { compareNames } from '../../../base/natural-order.ts';
import { namesOf, trustedNodes } from '../../names.ts';
import { type Routes, send, takesAnything, whoAsks } from '../context.ts';

export const nodelist: Routes = (app, { nodes, site }) => {
  app.get('/self/nodelist', async (request, reply) => {
    const { attributes } = whoAsks(request);
    const trusted = trustedNodes(attributes);
    const defaults = await nodes.defaults();
    const all = await nodes.list();
    const listed = trusted === undefined ? all : all.filter(({ name }) => trusted.includes(name));
    const members = trusted === undefined ? site.memberNames() : [];
    const names = listed.flatMap(({ name, attributes: own }) => namesOf(name, { ...defaults, ...own }));
    const sorted = [...new Set([...names, ...members])].sort(compareNames);
    if (takesAnything(request)) return reply.type('text/plain').send(sorted.map((name) => `${name}\n`).join(''));
    return send(reply, request, sorted);
  });
};
