/** A plan with everything that there is. */
import type { NetworkPlan } from '../../src/node/root-network/plan.ts';

const none = {
  nameservers: [],
  domains: [],
  mtu: undefined,
  vlan: undefined,
  isBoot: false,
  kind: 'ethernet',
} as const;

export const plan: NetworkPlan = {
  links: [
    {
      ...none,
      device: 'eth0',
      name: 'main',
      isBoot: true,
      nameservers: ['10.9.0.1', 'fd00:9::1'],
      domains: ['example.org'],
      ipv4: { method: 'static', address: '10.9.0.100/24', gateway: '10.9.0.1' },
      ipv6: { method: 'static', address: 'fd00:9::100/64', gateway: 'fd00:9::1' },
    },
    { ...none, device: 'eth1', name: 'data', mtu: 1400, ipv4: { method: 'dhcp' }, ipv6: { method: 'none' } },
    {
      ...none,
      device: 'eth1.5',
      name: 'store',
      vlan: { id: 5, parent: 'eth1' },
      ipv4: { method: 'static', address: '10.5.0.100/24' },
      ipv6: { method: 'none' },
    },
  ],
  lacks: [],
};
