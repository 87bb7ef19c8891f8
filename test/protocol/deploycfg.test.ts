import { expect, it } from 'vitest';
import { deploycfgSchema, formatDeploycfg, withoutV6 } from '../../src/protocol/deploycfg.ts';

const config = {
  profile: 'demo',
  protocol: 'https' as const,
  ipv4_method: 'static' as const,
  ipv4_address: '10.0.0.5',
  prefix: 24,
  ipv4_gateway: null,
  deploy_server: '10.0.0.1',
  deploy_server_v6: 'fd00::1',
  ipv6_method: null,
  nameservers: ['10.0.0.1', 'fd00::1'],
  dnsdomain: 'on',
  rootpassword: '$6$salt$hash/.',
};

it('is the YAML that upstream’s scripts take apart line by line: sorted, lists not indented, what YAML 1.1 takes for something else in quotes', () => {
  expect(formatDeploycfg(config)).toBe(`deploy_server: 10.0.0.1
deploy_server_v6: fd00::1
dnsdomain: 'on'
encryptboot: null
grubpassword: null
ipv4_address: 10.0.0.5
ipv4_gateway: null
ipv4_method: static
ipv6_method: null
keymap: us
locale: en_US.UTF-8
nameservers:
- 10.0.0.1
- fd00::1
prefix: 24
profile: demo
protocol: https
rootpassword: $6$salt$hash/.
`);
});

it('has one empty name server where there is none, as upstream has', () => {
  expect(formatDeploycfg({ ...config, nameservers: [] })).toContain("nameservers:\n- ''\n");
});

it('of the first form says nothing of IPv6', () => {
  expect(Object.keys(withoutV6(config)).filter((name) => name.includes('v6'))).toEqual([]);
});

it('is read with whatever else a member says', () => {
  expect(deploycfgSchema.parse({ ...config, something: 'else' })).toMatchObject({ profile: 'demo', prefix: 24 });
  expect(() => deploycfgSchema.parse({ ...config, protocol: 'gopher' })).toThrow();
});
