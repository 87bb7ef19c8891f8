/** GET self/netcfg: all networks of the node, the one that it came by first. */
import { arrivalOf, type FamilySettings, type NodeNetwork, netmaskOf, networksOf } from '../../node-networks.ts';
import { type Routes, send, whoAsks } from '../context.ts';
import { localOf } from './deploycfg.ts';

export const netcfg: Routes = (app, context) => {
  app.get('/self/netcfg', async (request, reply) => {
    const { node, attributes } = whoAsks(request);
    const arrival = arrivalOf({
      attributes,
      local: localOf(request, context),
      resolved: await context.hostNames.addresses(node),
    });
    const networks = networksOf(attributes);
    const own = arrival.network ?? networks.find(({ name }) => name === '');
    const others = networks.filter((network) => network !== own && network.name !== '');
    return send(reply, request, {
      default: { ...shown(own), ...families(arrival.ipv4, arrival.ipv6), current_nic: arrival.network !== undefined },
      extranets: Object.fromEntries(others.map((network) => [network.name, shown(network)])),
    });
  });
};

function shown(network: NodeNetwork | undefined): Record<string, unknown> {
  if (network === undefined) return {};
  return { ...network.other, ...families(network.ipv4, network.ipv6), current_nic: false };
}

/** Addresses with their bits. */
function families(ipv4: FamilySettings, ipv6: FamilySettings): Record<string, unknown> {
  const withBits = ({ address, prefix }: FamilySettings) =>
    address === undefined ? null : prefix === undefined ? address : `${address}/${prefix}`;
  return {
    ipv4_method: ipv4.method ?? (ipv4.address === undefined ? null : 'static'),
    ipv4_address: withBits(ipv4),
    ...(ipv4.prefix !== undefined && { ipv4_netmask: netmaskOf(ipv4.prefix) }),
    ipv4_gateway: ipv4.gateway ?? null,
    ipv6_method: ipv6.method ?? (ipv6.address === undefined ? null : 'static'),
    ipv6_address: withBits(ipv6),
    ipv6_gateway: ipv6.gateway ?? null,
  };
}
