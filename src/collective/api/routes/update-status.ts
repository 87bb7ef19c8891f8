/** POST self/updatestatus: how far the node has come. `staged` and `complete` of an installation, `booted` of a diskless one, which keeps what it is to boot. */
import * as z from 'zod';
import { UsageError } from '../../../base/errors.ts';
import { parseYaml } from '../../../profile/index.ts';
import { type Attributes, reportedAttributes } from '../../attributes.ts';
import type { AttributeChanges } from '../../nodes.ts';
import { type Routes, whoAsks } from '../context.ts';

const text = z
  .string()
  .max(1_000)
  .transform((value) => value.replace(/[\p{Cc}]+/gu, ' ').trim());
const update = z.object({
  state: text.optional(),
  state_detail: text.optional(),
  status: z.enum(['staged', 'complete', 'booted']).optional(),
});

export const updateStatus: Routes = (app, { nodes, store }) => {
  app.post<{ Body: Buffer | undefined }>('/self/updatestatus', { bodyLimit: 8_192 }, async (request, reply) => {
    const { node, attributes, address } = whoAsks(request);
    const { state, state_detail: detail, status } = parse(request.body);
    const reported: AttributeChanges = {
      'deployment.client_ip': address,
      'deployment.state': state ?? status,
      ...(detail !== undefined && { 'deployment.state_detail': detail }),
      'deployment.state_last_updated': new Date().toISOString(),
    };
    const moved = status === undefined ? {} : profileChanges(attributes, status);
    if (moved === undefined)
      return reply.code(500).type('text/plain').send('No pending profile detected, unable to accept status update');
    await nodes.set([node], { ...reported, ...moved });
    await store.audit({ subject: node, event: 'status', by: address, detail: status ?? state ?? '' });
    return reply.type('text/plain').send(status === undefined ? 'Accepted' : 'OK');
  });
};

function parse(body: Buffer | undefined): z.infer<typeof update> {
  const yaml = parseYaml(body?.toString('utf8') ?? '', 'the update');
  const found = update.safeParse(yaml instanceof Map ? Object.fromEntries(yaml) : yaml);
  if (!found.success || Object.keys(found.data).length === 0) {
    throw new UsageError('give state, state_detail or status (staged, complete, booted)');
  }
  return found.data;
}

/** Which profile is which now; undefined when none pends. */
function profileChanges(
  attributes: Attributes,
  status: 'staged' | 'complete' | 'booted',
): AttributeChanges | undefined {
  const [staged, current] = reportedAttributes;
  const pending = 'deployment.pendingprofile';
  const target = status === 'staged' ? staged : current;
  const profile = (status === 'staged' ? undefined : attributes[staged]) ?? attributes[pending];
  // Nothing is to come any more, and it says how it fares with what it has.
  if (status === 'booted' && profile === undefined && attributes[current] !== undefined) return {};
  if (profile === undefined) return undefined;
  if (status === 'booted') return { [target]: profile };
  if (status === 'staged') return { [target]: profile, [pending]: undefined };
  const lock = attributes['deployment.lock'] === 'autolock' ? { 'deployment.lock': 'locked' } : {};
  return { [target]: profile, [pending]: undefined, [staged]: undefined, ...lock };
}
