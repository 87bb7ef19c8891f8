/** GET self/deploycfg2: what the node is to be. self/deploycfg, upstream's first form, has nothing about IPv6. */
import type { FastifyRequest } from 'fastify';
import { type Deploycfg, formatDeploycfg, withoutV6 } from '../../../protocol/deploycfg.ts';
import { nodeHeader } from '../../../protocol/headers.ts';
import { listed } from '../../attributes.ts';
import type { LocalAddress } from '../../node-networks.ts';
import { arrivalOf, netmaskOf } from '../../node-networks.ts';
import { type ApiContext, type Asking, type Routes, send, whoAsks } from '../context.ts';

export const deploycfg: Routes = (app, context) => {
  for (const [path, form] of [
    ['/self/deploycfg2', (config: Deploycfg) => config],
    ['/self/deploycfg', withoutV6],
  ] as const) {
    app.get(path, async (request, reply) => {
      const config = form(await configOf(whoAsks(request), localOf(request, context), context));
      return send(reply, request, config, formatDeploycfg);
    });
  }
};

/** Of the interface that is meant: by name or number, or the one whose address was called. */
export function localOf(request: FastifyRequest, { interfaces }: Pick<ApiContext, 'interfaces'>): LocalAddress[] {
  const named = nodeHeader(request.headers, 'interface');
  const { called } = whoAsks(request);
  const meant = named === undefined ? [] : interfaces.of(interfaces.nameOf(named));
  return meant.length > 0 ? meant : interfaces.beside(called);
}

async function configOf(
  { node, attributes }: Asking,
  local: readonly LocalAddress[],
  context: ApiContext,
): Promise<Deploycfg> {
  const { profiles, site, hostNames } = context;
  const { ipv4, ipv6, deployServer, deployServerV6 } = arrivalOf({
    attributes,
    local,
    resolved: await hostNames.addresses(node),
  });
  const profile = attributes['deployment.pendingprofile'] ?? '';
  const digest = profile === '' ? undefined : await profiles.digest(profile);
  const ntp = listed(attributes['ntp.servers']);
  return {
    profile,
    ...(digest !== undefined && { image_digest: `sha256:${digest}` }),
    members: await site.memberAddresses(),
    protocol: attributes['deployment.useinsecureprotocols'] === 'always' ? 'http' : 'https',
    deploy_server: deployServer ?? null,
    deploy_server_v6: deployServerV6 ?? null,
    ipv4_method: methodOf(ipv4.method),
    ipv4_address: ipv4.address ?? null,
    prefix: ipv4.prefix ?? null,
    ipv4_netmask: ipv4.prefix === undefined ? null : netmaskOf(ipv4.prefix),
    ipv4_gateway: ipv4.gateway ?? null,
    ipv6_method: methodOf(ipv6.method),
    ipv6_address: ipv6.address ?? null,
    ipv6_prefix: ipv6.prefix ?? null,
    ipv6_gateway: ipv6.gateway ?? null,
    nameservers: listed(attributes['dns.servers']),
    dnsdomain: attributes['dns.domain'] ?? null,
    ...(ntp.length > 0 && { ntpservers: ntp }),
    timezone: attributes['timezone'] ?? site.timezone,
    rootpassword: attributes['crypted.rootpassword'] ?? null,
    textconsole: Boolean(attributes['console.method']),
    confluent_uuid: site.uuid,
  };
}

function methodOf(method: string | undefined): 'static' | 'dhcp' | null {
  return method === 'static' || method === 'dhcp' ? method : null;
}
