/** Who the node is, in its new root: its name, its time zone, who may log in, a host key of this boot with a certificate of the site, and whom it believes. */
import { shownText, TetherfsError } from '../../base/errors.ts';
import { makeSshKey } from '../../protocol/ssh-key.ts';
import type { Enrolment } from '../enrol.ts';
import { groupNamed, homeOfRoot, isCryptText, withRootPassword } from '../identity/accounts.ts';
import { addToStore } from '../identity/certificate-stores.ts';
import { leaveConfluentFiles } from '../identity/confluent-files.ts';
import { certificateOf, settingsOfServer, showCertificate, writeSettings } from '../identity/host-certificate.ts';
import { withOwnName } from '../identity/host-file.ts';
import { machineIdOf } from '../identity/machine-id.ts';
import { RootTree } from '../identity/root-tree.ts';
import { believedAuthorities, clientSettings, hostKey, withLines } from '../identity/ssh-files.ts';
import { machineUuid } from '../small-files.ts';
import type { Lack } from '../step.ts';
import type { SiteTrust } from '../trust.ts';
import { setUpTime } from './time.ts';

export interface IdentityParts {
  /** The new root's real path. */
  root: string;
  enrolment: Enrolment;
  trust: SiteTrust;
  lack: Lack;
}

/** What it has become, for the record of the boot. */
export interface Identity {
  node: string;
  profile: string;
  /** Serial of the host key's certificate; undefined where there is none. */
  certificate: string | undefined;
}

export async function giveIdentity({ root, enrolment, trust, lack }: IdentityParts): Promise<Identity> {
  const { node, api, config } = enrolment;
  const tree = new RootTree(root);
  await tree.write('/etc/hostname', `${node}\n`);
  const own = { node, address: config.ipv4_address ?? undefined, domain: config.dnsdomain ?? undefined };
  await tree.write('/etc/hosts', withOwnName(await tree.read('/etc/hosts'), own));
  await tree.write('/etc/machine-id', `${machineIdOf(node, machineUuid())}\n`, {
    mode: 0o444,
  });
  await setRootPassword(tree, config.rootpassword ?? '', lack);
  await setUpTime(tree, config, lack);
  await addToStore(tree, trust);
  const functions = (await api.file(`os/${config.profile}/scripts/functions`)).at(-1);
  await leaveConfluentFiles(tree, enrolment, trust, functions?.kind === 'ok' ? functions.body.toString() : undefined);
  const nodes = await api.seek('nodelist', parseNodeList, { most: 64 * 1024 * 1024 });
  if ('why' in nodes) lack(`nobody of other nodes may log in: ${nodes.why}`);
  const trusted = 'found' in nodes ? nodes.found : '';
  const certificate = await setUpSsh(tree, { enrolment, trust, trusted, lack });
  return { node, profile: config.profile, certificate };
}

/** What sshd takes for names of machines and nothing else: `+`, say, is everybody. */
function parseNodeList(body: Buffer): string {
  const names = body
    .toString('utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const wrong = names.find((name) => !/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/.test(name));
  if (wrong !== undefined) throw new TetherfsError('API', `${shownText(wrong, 40)} is no name of a node`);
  return names.map((name) => `${name}\n`).join('');
}

async function setRootPassword(tree: RootTree, hash: string, lack: Lack): Promise<void> {
  // Of whom nobody says one, the image's stays.
  if (hash === '') return;
  const shadow = await tree.read('/etc/shadow');
  if (!isCryptText(hash)) lack("root's password is not set: what a member says of it is no hash");
  else if (shadow === undefined) lack("root's password is not set: the image has no /etc/shadow");
  else await tree.write('/etc/shadow', withRootPassword(shadow, hash));
}

interface SshParts extends Pick<IdentityParts, 'enrolment' | 'trust' | 'lack'> {
  /** Names of nodes whose users may come, a line each. */
  trusted: string;
}

/** @returns serial of the certificate. */
async function setUpSsh(tree: RootTree, { enrolment, trust, trusted, lack }: SshParts): Promise<string | undefined> {
  const home = homeOfRoot(await tree.read('/etc/passwd'));
  const keys = `${home}/.ssh/authorized_keys`;
  await tree.write(keys, withLines(await tree.read(keys), trust.rootKeys), { mode: 0o600 });
  await tree.makePrivateDirectory(`${home}/.ssh`);
  await tree.write(`${home}/.shosts`, trusted, { mode: 0o600 });
  await tree.write('/etc/ssh/shosts.equiv', trusted, { mode: 0o644 });
  const known = '/etc/ssh/ssh_known_hosts';
  await tree.write(known, withLines(await tree.read(known), believedAuthorities(trust.sshAuthorities)));
  if (await tree.has('/usr/bin/ssh')) await writeSettings(tree, ofClient);
  if (!(await tree.has('/usr/sbin/sshd'))) return undefined;
  for (const name of await tree.list('/etc/ssh')) {
    // Whoever has the image has these.
    if (/^ssh_host_.*key/.test(name)) await tree.remove(`/etc/ssh/${name}`);
  }
  const pair = makeSshKey(`root@${enrolment.node}`);
  const group = groupNamed(await tree.read('/etc/group'), 'ssh_keys');
  await tree.write(hostKey, pair.privateKey, group === undefined ? { mode: 0o600 } : { mode: 0o640, group });
  await tree.write(`${hostKey}.pub`, `${pair.publicKey}\n`, { mode: 0o644 });
  const signed = await certificateOf(pair.publicKey, trust.sshAuthorities, enrolment.api);
  if ('why' in signed) {
    lack(`the ssh host key has no certificate: ${signed.why}`);
    await writeSettings(tree, settingsOfServer(false));
    return undefined;
  }
  await showCertificate(tree, signed.found);
  return signed.found.serial;
}

const ofClient = {
  dropIn: '/etc/ssh/ssh_config.d/01-tetherfs.conf',
  main: '/etc/ssh/ssh_config',
  goes: 'last',
  text: clientSettings,
} as const;
