/** What a member says of a node's networks (`/confluent-api/self/netcfg`): the one that the node came by, and the others by their names. */
import * as z from 'zod';

const text = z.string().nullable().optional();
/** Numbers are written with and without quotes, and null for none. */
const number = z.preprocess((value) => value ?? undefined, z.coerce.number().int().positive().optional()).optional();
const method = z.enum(['static', 'dhcp', 'firmwaredhcp', 'firmwarenone']).nullable().optional();

/** Nothing that is not named here is ours to look at. */
export const networkSchema = z.object({
  /** Several with commas between. */
  hwaddr: text,
  /** Of devices, with commas between. */
  interface_names: text,
  connection_name: text,
  vlan_id: number,
  mtu: number,
  team_mode: text,
  ipv4_method: method,
  /** With its bits. */
  ipv4_address: text,
  ipv4_gateway: text,
  ipv6_method: method,
  ipv6_address: text,
  ipv6_gateway: text,
});
export type NetworkSaid = z.infer<typeof networkSchema>;

export const netcfgSchema = z.object({
  default: networkSchema,
  extranets: z.record(z.string(), networkSchema).default({}),
});
export type Netcfg = z.infer<typeof netcfgSchema>;
