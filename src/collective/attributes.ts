/**
 * What is known of a node, by the names that upstream's attributes have: `net.ipv4_address`, `deployment.pendingprofile`, … A node's own go before the
 * defaults of all. What we act on is checked; others are kept, shown to the node, and mean nothing to us.
 */
import { isIP } from 'node:net';
import { shownText, UsageError } from '../base/errors.ts';
import { profileName } from '../profile/index.ts';

export type Attributes = Readonly<Record<string, string>>;

interface Known {
  name: RegExp;
  /** For the help. */
  as: string;
  what: string;
  isValid: (value: string) => boolean;
  /** What goes: `e.g. …`, `one of …`; empty where anything does. */
  form: string;
  /** One value cannot be several nodes'. */
  isOfOneNode?: boolean;
}

const words = (value: string) => value.split(/[\s,]+/).filter((word) => word !== '');
const address = (version: 4 | 6) => (value: string) => isIP(value) === version;
const network = (version: 4 | 6) => (value: string) => {
  const [at = '', bits] = value.split('/');
  return (
    isIP(at) === version &&
    (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)))
  );
};
const oneOf = (...allowed: string[]) => ({
  isValid: (value: string) => allowed.includes(value),
  form: `one of ${allowed.join(', ')}`,
});
const hostName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/;
const net = (name: string) => new RegExp(`^net\\.(?:[A-Za-z0-9_-]+\\.)?${name}$`);
const methods = oneOf('static', 'dhcp', 'firmwaredhcp', 'firmwarenone');
/** Of Ethernet; of InfiniBand its last eight bytes. */
const macAddress =
  /^(?:[0-9a-f]{2}:){5}(?:[0-9a-f]{2}:[0-9a-f]{2}:)?[0-9a-f]{2}(?:,(?:[0-9a-f]{2}:){5}(?:[0-9a-f]{2}:[0-9a-f]{2}:)?[0-9a-f]{2})*$/i;

export const knownAttributes: readonly Known[] = [
  {
    name: /^deployment\.pendingprofile$/,
    as: 'deployment.pendingprofile',
    what: 'the profile to boot',
    isValid: (value) => profileName.test(value),
    form: 'the name of a profile',
  },
  {
    name: /^deployment\.useinsecureprotocols$/,
    as: 'deployment.useinsecureprotocols',
    what: 'always: the image comes by http, which a digest makes safe; else by https',
    ...oneOf('always', 'firmware', 'never'),
  },
  {
    name: /^id\.uuid$/,
    as: 'id.uuid',
    what: 'what its firmware says it is',
    isValid: (value) => /^[0-9a-f-]{32,36}$/i.test(value),
    form: 'a UUID',
    isOfOneNode: true,
  },
  {
    name: net('hwaddr'),
    as: 'net.[NAME.]hwaddr',
    what: 'by which it is found; several with commas between',
    isValid: (value) => macAddress.test(value),
    form: 'e.g. 52:54:00:12:34:56',
    isOfOneNode: true,
  },
  {
    name: net('ipv4_address'),
    as: 'net.[NAME.]ipv4_address',
    what: 'its address',
    isValid: network(4),
    form: 'e.g. 10.0.0.5/24, or without the bits',
    isOfOneNode: true,
  },
  {
    name: net('ipv4_gateway'),
    as: 'net.[NAME.]ipv4_gateway',
    what: 'and way out',
    isValid: address(4),
    form: 'e.g. 10.0.0.1',
  },
  { name: net('ipv4_method'), as: 'net.[NAME.]ipv4_method', what: 'how it gets the address', ...methods },
  {
    name: net('ipv6_address'),
    as: 'net.[NAME.]ipv6_address',
    what: 'its address',
    isValid: network(6),
    form: 'e.g. fd00::5/64',
    isOfOneNode: true,
  },
  {
    name: net('ipv6_gateway'),
    as: 'net.[NAME.]ipv6_gateway',
    what: 'and way out',
    isValid: address(6),
    form: 'e.g. fd00::1',
  },
  { name: net('ipv6_method'), as: 'net.[NAME.]ipv6_method', what: 'how it gets the address', ...methods },
  {
    name: net('hostname'),
    as: 'net.[NAME.]hostname',
    what: 'a name that it has there',
    isValid: (value) => words(value).every((word) => hostName.test(word)),
    form: 'a host name',
    isOfOneNode: true,
  },
  {
    name: net('(?:connection_name|interface_names|team_mode)'),
    as: 'net.[NAME.]interface_names',
    what: 'for the node: also connection_name, team_mode',
    isValid: () => true,
    form: '',
  },
  {
    name: net('(?:vlan_id|mtu)'),
    as: 'net.[NAME.]mtu',
    what: 'for the node: also vlan_id',
    isValid: (value) => /^\d{1,5}$/.test(value),
    form: 'a number',
  },
  {
    name: /^dns\.servers$/,
    as: 'dns.servers',
    what: 'name servers',
    isValid: (value) => words(value).every((word) => isIP(word) !== 0),
    form: 'addresses, with commas between',
  },
  {
    name: /^dns\.domain$/,
    as: 'dns.domain',
    what: 'of all names',
    isValid: (value) => hostName.test(value),
    form: 'e.g. example.org',
  },
  { name: /^ntp\.servers$/, as: 'ntp.servers', what: 'where the time is', isValid: () => true, form: '' },
  {
    name: /^timezone$/,
    as: 'timezone',
    what: 'ours when it is not said',
    isValid: (value) => /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/.test(value),
    form: 'e.g. Europe/Berlin',
  },
  {
    name: /^ssh\.trustnodes$/,
    as: 'ssh.trustnodes',
    what: 'nodes that may log in; all when it is not said',
    isValid: () => true,
    form: '',
  },
  {
    name: /^trusted\.subnets$/,
    as: 'trusted.subnets',
    what: 'from where a grant may be asked for, beside the local ones',
    isValid: (value) => words(value).every((word) => network(4)(word) || network(6)(word)),
    form: 'e.g. 10.1.0.0/16, fd01::/48',
  },
  {
    name: /^crypted\.rootpassword$/,
    as: 'crypted.rootpassword',
    what: "root's, as crypt(3) has it: give it by a file",
    isValid: (value) => /^\$(?:5|6|y|2[aby]|gy|7)\$[^\s:]+$/.test(value),
    form: 'e.g. $6$…',
  },
  {
    name: /^console\.method$/,
    as: 'console.method',
    what: 'that it has a console somebody looks at',
    isValid: () => true,
    form: '',
  },
  {
    name: /^hardwaremanagement\.manager$/,
    as: 'hardwaremanagement.manager',
    what: 'address of its BMC, which is not its own',
    isValid: () => true,
    form: '',
  },
  {
    name: /^collective\.managercandidates$/,
    as: 'collective.managercandidates',
    what: 'members that answer it',
    isValid: () => true,
    form: '',
  },
];

/** States that nodes report; set by them. */
export const reportedAttributes = [
  'deployment.stagedprofile',
  'deployment.profile',
  'deployment.state',
  'deployment.state_detail',
  'deployment.state_last_updated',
  'deployment.client_ip',
] as const;

/** Characters of a value that is refused. */
const longestShown = 60;

const anyName = /^[a-z][a-z0-9]*(?:[._-][A-Za-z0-9]+)*$/;

/** @throws UsageError when it is none, or what we act on makes no sense. @param isStrict whether we must know it. */
export function checkAttribute(name: string, value: string, isStrict: boolean): void {
  const known = knownAttributes.find((attribute) => attribute.name.test(name));
  if (known === undefined) {
    const isReported = reportedAttributes.some((reported) => reported === name);
    if (anyName.test(name) && (!isStrict || isReported)) return;
    throw new UsageError(`${name}: no such attribute; "tetherfs collective node set --help" lists them`);
  }
  if (!/[\p{Cc}]/u.test(value) && known.isValid(value)) return;
  const shown = isSecretAttribute(name) ? 'what was given' : shownText(JSON.stringify(value), longestShown);
  const wanted = known.form === '' ? 'text of one line' : known.form;
  throw new UsageError(`${name}: ${shown} will not do: it is ${known.what}, ${wanted}`);
}

/** Of several nodes. @throws UsageError for what only one of them can have. */
export function insistOnShareable(attributes: Readonly<Record<string, string | undefined>>): void {
  const own = Object.entries(attributes).find(
    ([name, value]) =>
      value !== undefined && knownAttributes.some((known) => known.isOfOneNode && known.name.test(name)),
  );
  if (own === undefined) return;
  throw new UsageError(
    `${own[0]}: several nodes cannot have the same: say it for each, or "node import" a file of all`,
  );
}

/** Upstream's names of what is shown to nobody: `secret.…`, `crypted.…`. */
export function isSecretAttribute(name: string): boolean {
  return /^(?:secret|crypt)/.test(name);
}

/** Names that are listed in one attribute. */
export function listed(value: string | undefined): string[] {
  return words(value ?? '');
}
