/** POST self/remotesyncfiles: the member copies the profile's syncfiles into the node, by rsync over ssh. GET: how that is going. */
import * as z from 'zod';
import { UsageError } from '../../../base/errors.ts';
import { addressesOf } from '../../names.ts';
import { profileOf, type Routes, whoAsks } from '../context.ts';

const place = z.string().max(1_000).optional();
const question = z.object({ merge: place, appendonce: place, myips: z.array(z.string().max(100)).max(100).optional() });

export const remoteSyncFiles: Routes = (app, { syncFiles }) => {
  app.post<{ Body: Buffer | undefined }>('/self/remotesyncfiles', { bodyLimit: 65_536 }, async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const { merge, appendonce, myips = [] } = parse(request.body);
    // To an address that is the node's, and no other that it may name.
    const own = [...addressesOf(attributes), address];
    const to = myips.find((candidate) => own.includes(candidate.replace(/%.*$/, ''))) ?? address;
    const started = await syncFiles.start({ node, profile: profileOf(attributes), to, merge, appendOnce: appendonce });
    const answers = {
      none: [200, 'No synclist'],
      empty: [200, 'Empty synclist'],
      started: [202, 'Queued'],
      busy: [503, 'Synchronization already in progress'],
    } as const;
    const [status, words] = answers[started];
    return reply.code(status).type('text/plain').send(words);
  });
  app.get('/self/remotesyncfiles', async (request, reply) => {
    const state = syncFiles.state(whoAsks(request).node);
    if (state === undefined) return reply.code(204).send();
    if (state.kind === 'running') return reply.type('application/json').send('""');
    if (state.kind === 'failed')
      return reply
        .code(500)
        .type('application/json')
        .send(JSON.stringify({ error: state.why }));
    return reply.type('application/json').send(JSON.stringify({ options: state.options, output: state.output }));
  });
};

function parse(body: Buffer | undefined): z.infer<typeof question> {
  try {
    return question.parse(JSON.parse(body?.toString('utf8') || '{}'));
  } catch (cause) {
    throw new UsageError('give JSON: {"merge": DIRECTORY, "appendonce": DIRECTORY, "myips": [ADDRESS]}', { cause });
  }
}
