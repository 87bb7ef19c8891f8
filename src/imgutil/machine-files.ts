/**
 * What every machine makes its own, and an image for many must not hold: the files of a tree that are blanked or left out when it is packed. The tree
 * itself stays as it is.
 */
import { open } from 'node:fs/promises';
import { UsageError } from '../base/errors.ts';
import { bytesOf, entryInside, filesMatching, placeOf, shownPath, type TreeEntry } from '../base/tree-entry.ts';
import { PackError } from './errors.ts';

export interface MachineFile {
  /** In the tree, without links, one character a byte: `/etc/machine-id`. */
  readonly path: string;
  /** What it holds, in a few words. */
  readonly what: string;
  /** What is packed in its place, one character a byte; undefined: nothing, not even an empty file. */
  readonly blank: string | undefined;
  /** Another one when the file has changed. */
  readonly version: string;
}

interface Rule {
  readonly what: string;
  /** `*` stands for anything within one name. */
  readonly paths: readonly string[];
  /** What remains of a text; without, an empty file. */
  readonly blank?: (text: string) => string;
  /** What makes the file again takes an empty one for one that is there. */
  readonly leaveOut?: true;
}

const rules: readonly Rule[] = [
  { what: 'ssh host key', paths: ['/etc/ssh/ssh_host_*', '/etc/dropbear*/*host_key', '/etc/dropbear/*/*host_key'] },
  { what: 'machine id', paths: ['/etc/machine-id', '/var/lib/dbus/machine-id'], blank: exceptUninitialized },
  { what: 'random seed', paths: ['/var/lib/systemd/random-seed'] },
  { what: 'key of systemd credentials', paths: ['/var/lib/systemd/credential.secret'], leaveOut: true },
  {
    what: 'password hashes',
    paths: ['shadow', 'gshadow', 'passwd', 'group'].flatMap((name) => [
      `/etc/${name}`,
      `/etc/${name}-`,
      `/etc/${name}.*`,
      `/var/backups/${name}.bak`,
    ]),
    blank: withoutHashes,
  },
  { what: 'former password hashes', paths: ['/etc/security/opasswd'] },
  {
    what: 'password hashes of an installer',
    paths: [
      ...['/root/*.cfg', '/root/autoinst.xml', '/etc/cloud/cloud.cfg.d/*', '/var/log/installer/*'],
      ...['/var/lib/cloud/instances/*/user-data*', '/var/cache/debconf/passwords.dat', '/boot/grub*/user.cfg'],
    ],
    blank: unlessItHolds(/\$(1|2[abxy]|5|6|7|y|gy)\$|grub\.pbkdf2|passwd|password/i),
  },
  { what: 'API key', paths: ['/etc/confluent/*.apikey', '/etc/tetherfs/*.apikey'] },
  {
    what: 'private ssh key',
    paths: ofPeople('.ssh/*', '.ssh/*/*'),
    blank: unlessItHolds(/-----BEGIN [A-Z ]*PRIVATE KEY|PuTTY-User-Key-File/),
  },
  { what: 'private GnuPG key', paths: ofPeople('.gnupg/private-keys-v1.d/*', '.gnupg/secring.gpg') },
  {
    what: 'password or token of a person',
    paths: ofPeople('.netrc', '.pgpass', '.git-credentials', '.vault-token', '.aws/credentials', '.kube/config'),
  },
  {
    what: 'settings with a password or token of a person',
    paths: ofPeople('.my.cnf', '.npmrc', '.docker/config.json', '.config/gh/hosts.yml', '.config/rclone/rclone.conf'),
    blank: unlessItHolds(/pass|token|auth|secret|key/i),
  },
  {
    what: 'key of a self-signed certificate',
    paths: ['/etc/ssl/private/ssl-cert-snakeoil.key', '/etc/pki/tls/private/localhost.key'],
    leaveOut: true,
  },
  { what: 'key of a subscription', paths: ['/etc/pki/consumer/key.pem', '/etc/pki/entitlement/*-key.pem'] },
  { what: 'Kerberos keys', paths: ['/etc/krb5.keytab'] },
  { what: 'key of NetworkManager', paths: ['/var/lib/NetworkManager/secret_key'], leaveOut: true },
  {
    what: 'network secrets',
    paths: [
      ...['/etc/netplan/*', '/etc/NetworkManager/system-connections/*', '/etc/wpa_supplicant/*', '/etc/wireguard/*'],
      ...['/usr/lib/netplan/*', '/usr/lib/NetworkManager/system-connections/*', '/var/lib/iwd/*'],
      ...[
        '/etc/systemd/network/*',
        '/etc/sysconfig/network-scripts/keys-*',
        '/etc/ppp/*-secrets',
        '/etc/ipsec.secrets',
      ],
    ],
    // What is wrong in one such file can stop the network of all the others, so no file is left with its secrets cut out.
    blank: unlessItHolds(
      /psk|passw|passphrase|secret|private|pre-?shared|\bkeys?\b|wep[-_]?key|\bcak\b|\bpin\b|-pass\b|blob/i,
    ),
  },
];

/** Of root and of whoever has a home directory. */
function ofPeople(...paths: string[]): string[] {
  return ['/root', '/home/*'].flatMap((home) => paths.map((path) => `${home}/${path}`));
}

/** What is larger is no settings; bytes. */
const largestText = 16 * 1024 * 1024;

/**
 * Those that hold something now.
 * @param tree its real path, one character a byte. @param keep paths in the tree that are packed as they are. @throws UsageError, PackError
 */
export async function machineFiles(tree: string, keep: readonly string[]): Promise<MachineFile[]> {
  const kept = new Set(await Promise.all(keep.map((path) => keptPath(tree, path))));
  const found = new Map<string, MachineFile>();
  for (const rule of rules) {
    for (const pattern of rule.paths) {
      for (const { path, status } of await filesMatching(tree, pattern, false)) {
        if (kept.has(path) || found.has(path) || status.size === 0n) continue;
        const blank = await blanked(placeOf(tree, path), rule);
        if (blank === 'as it is') continue;
        if (status.nlink > 1n)
          throw new PackError(
            `${shownPath(path)} (${rule.what}) has another name in the tree, by which it would be packed: remove that, or say --keep ${shownPath(path)}`,
          );
        found.set(path, { path, what: rule.what, blank: blank?.text, version: versionOf(status) });
      }
    }
  }
  return [...found.values()];
}

/** Below these mountpoints there may be files that cannot be seen, and would be packed. */
export function hidingMounts(mountpoints: readonly string[], tree: string): string[] {
  const fixed = rules.flatMap(({ paths }) => paths.map((path) => path.replace(/\/[^/]*\*.*$/, '')));
  return mountpoints.filter((mountpoint) => {
    const path = bytesOf(mountpoint).slice(tree.length);
    return fixed.some((place) => `${place}/`.startsWith(`${path}/`));
  });
}

async function keptPath(tree: string, path: string): Promise<string> {
  const found = await entryInside(tree, bytesOf(path));
  if (found === undefined) throw new UsageError(`--keep ${path}: there is no such file in the tree`);
  return found.path;
}

async function blanked(place: Buffer, { blank, leaveOut }: Rule): Promise<{ text: string } | undefined | 'as it is'> {
  if (leaveOut) return undefined;
  if (blank === undefined) return { text: '' };
  await using file = await open(place);
  const { size } = await file.stat();
  const text = (await file.readFile()).toString('latin1', 0, Math.min(size, largestText));
  const rest = size > largestText ? '' : blank(text);
  return rest === text ? 'as it is' : { text: rest };
}

function versionOf({ dev, ino, size, ctimeNs }: TreeEntry['status']): string {
  return [dev, ino, size, ctimeNs].join(':');
}

/** machine-id(5): says that the next boot is the first. */
function exceptUninitialized(text: string): string {
  return text.trim() === 'uninitialized' ? text : '';
}

function unlessItHolds(secret: RegExp): (text: string) => string {
  return (text) => (secret.test(text) ? '' : text);
}

/** crypt(3) makes no shorter ones; shorter words (`x`, `*`, `!`, `NP`) are none, and no password is no secret. */
const shortestHash = 13;

/** shadow(5), gshadow(5), passwd(5), group(5): nobody logs in by such a password any more, and what was locked stays locked. */
function withoutHashes(text: string): string {
  return text.replace(/^([^:\n]*):(!*)([^:\n]*)/gm, (line, name: string, locks: string, hash: string) =>
    hash.length < shortestHash ? line : `${name}:${locks === '' ? '*' : '!'}`,
  );
}
