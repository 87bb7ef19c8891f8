/** GET self/scriptlist/CATEGORY: names of the scripts of the node's profile, in the order in which they are run. Nothing where there are none. */
import { formatYaml } from '../../../protocol/deploycfg.ts';
import { profileOf, type Routes, whoAsks } from '../context.ts';

export const scriptList: Routes = (app, { profiles }) => {
  app.get<{ Params: { '*': string } }>('/self/scriptlist/*', async (request, reply) => {
    const profile = profileOf(whoAsks(request).attributes);
    const { names } = profile === '' ? { names: [] } : await profiles.scripts(profile, 'scripts', request.params['*']);
    return reply.type('application/yaml; charset=utf-8').send(names.length === 0 ? '' : formatYaml(names));
  });
};
