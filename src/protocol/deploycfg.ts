/**
 * What a member tells a node about itself (`/confluent-api/self/deploycfg2`): its profile, its address, its root password, the time. Upstream's shell
 * scripts take this YAML apart line by line, so its form counts: keys in order, lists not indented, strings plain or in single quotes.
 */
import { stringify } from 'yaml';
import * as z from 'zod';

const method = z.enum(['static', 'dhcp']).nullable();
const text = z.string().nullable();

/** Nothing that is not named here is ours to look at; a member may say more. */
export const deploycfgSchema = z.object({
  /** Of the image, `sha256:HEX`: ours, and the trusted channel of the digest. */
  image_digest: z.string().optional(),
  /** Addresses of all members that serve the image: ours. */
  members: z.array(z.string()).optional(),
  profile: z.string(),
  protocol: z.enum(['http', 'https']),
  deploy_server: text.optional(),
  deploy_server_v6: text.optional(),
  ipv4_method: method,
  ipv4_address: text.optional(),
  prefix: z.number().nullable().optional(),
  ipv4_netmask: text.optional(),
  ipv4_gateway: text.optional(),
  ipv6_method: method.optional(),
  ipv6_address: text.optional(),
  ipv6_prefix: z.number().nullable().optional(),
  ipv6_gateway: text.optional(),
  nameservers: z.array(z.string()).default([]),
  dnsdomain: text.optional(),
  ntpservers: z.array(z.string()).optional(),
  timezone: text.optional(),
  /** A crypt(3) text; null leaves what the image has. */
  rootpassword: text.optional(),
  textconsole: z.boolean().optional(),
  confluent_uuid: text.optional(),
});
export type Deploycfg = z.infer<typeof deploycfgSchema>;

/** What no diskless node uses, and upstream's scripts for others look for. */
const unused = { encryptboot: null, grubpassword: null, keymap: 'us', locale: 'en_US.UTF-8' };

/** Upstream's first form has nothing about IPv6. */
export function withoutV6(config: Deploycfg): Partial<Deploycfg> {
  return Object.fromEntries(Object.entries(config).filter(([name]) => !name.includes('v6')));
}

export function formatDeploycfg(config: Partial<Deploycfg>): string {
  return formatYaml({ ...unused, ...config, nameservers: config.nameservers?.length ? config.nameservers : [''] });
}

/** As PyYAML writes it: YAML 1.1, sorted. */
export function formatYaml(value: unknown): string {
  return stringify(value, { version: '1.1', sortMapEntries: true, indentSeq: false, singleQuote: true, lineWidth: 0 });
}
