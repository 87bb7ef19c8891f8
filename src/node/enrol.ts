/**
 * From a machine that owns nothing to a node that its members know: who it is and who they are, a key of its own, what it is to be. Each is a step that is tried again until it succeeds; what an
 * administrator must do meanwhile stands on the console.
 */
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { TetherfsError, UsageError } from '../base/errors.ts';
import { readGivenFile } from '../base/given-file.ts';
import type { ApiSettings } from '../profile/index.ts';
import { parseConfluentInfo } from '../protocol/confluent-info.ts';
import type { Deploycfg } from '../protocol/deploycfg.ts';
import { formatNames } from '../protocol/discovery.ts';
import { nodeName } from '../protocol/grant.ts';
import { correctClock } from './clock.ts';
import { askDeploycfg, parseDeploycfg } from './deploycfg.ts';
import { nameZone } from './devices.ts';
import { discoverMembers, type FoundMember, ownNames } from './discovery.ts';
import { askForGrant, type GrantOutcome } from './grant-client.ts';
import { KeyOfTpm } from './key-of-tpm.ts';
import { goodAnswer, isNowhere, MemberApi } from './member-api.ts';
import { makeNodeKey, type NodeKey } from './node-key.ts';
import type { BootConsole, Lack, Steps } from './step.ts';
import type { SiteTrust } from './trust.ts';

/** So often whoever is there denies a key before it is looked for others. */
const denialsBetween = 3;

export interface EnrolParts {
  settings: ApiSettings;
  trust: SiteTrust;
  steps: Steps;
  console: BootConsole;
  signal: AbortSignal;
  lack: Lack;
}

export interface Enrolment {
  node: string;
  /** Members that may be asked, the one that has granted the key first. */
  members: readonly string[];
  /** What it has answered that was found by discovery. */
  found: readonly FoundMember[];
  key: string;
  api: MemberApi;
  config: Deploycfg;
}

type Neighbours = Pick<Enrolment, 'node' | 'members' | 'found'>;

/** @throws UsageError when the initramfs knows nobody to believe; what ends a boot. */
export async function enrol({ settings, trust, steps, console, signal, lack }: EnrolParts): Promise<Enrolment> {
  if (trust.tls.length === 0)
    throw new UsageError(
      'tetherfs.api=: the initramfs has no authority of the site (/tls/*.pem): boot with boot/initramfs/site.cpio beside it',
    );
  const find = () => findMembers(settings, trust, console, signal);
  let known = await steps.run('members', find);
  const ofTpm = await KeyOfTpm.open(settings.tpmPcrs, console);
  const apiWith = (key: string) =>
    new MemberApi({ members: known.members, authorities: trust.tls, node: known.node, key, signal });
  let said: Buffer | undefined;
  let denials = 0;
  /** One for all tries: a member may have taken it, and its answer is lost. */
  let made: NodeKey | undefined;
  let mayBeTaken = false;
  const isTaken = async ({ key }: NodeKey) => {
    const last = (await askDeploycfg(apiWith(key))).at(-1);
    if (last?.kind === 'ok') said = last.body;
    return last?.kind === 'ok';
  };
  const key = await steps.run('key', async () => {
    const kept = await ofTpm.first(apiWith);
    said = kept?.deploycfg;
    if (kept !== undefined) return kept.key;
    made ??= await makeNodeKey();
    const outcomes = new Map<string, GrantOutcome>();
    for (const address of known.members) {
      if (mayBeTaken && (await isTaken(made))) return made.key;
      const outcome = await askForGrant({ address, node: known.node, hash: made.hash, signal });
      mayBeTaken ||= outcome.kind === 'lost';
      if (outcome.kind === 'granted') {
        known = { ...known, members: [address, ...known.members.filter((one) => one !== address)] };
        return made.key;
      }
      outcomes.set(address, outcome);
    }
    // Their addresses may have changed, and others may have come.
    const isAnybodyThere = [...outcomes.values()].some(({ kind }) => kind !== 'unreachable');
    if (!isAnybodyThere || ++denials % denialsBetween === 0) known = await find().catch(() => known);
    throw new TetherfsError('NO_KEY', `${ofTpm.refusal}${whyNoKey(known.node, outcomes)}`);
  });
  const { node, members, found } = known;
  const api = apiWith(key);
  const config = await steps.run('configuration', async () => {
    const body = said ?? goodAnswer(await askDeploycfg(api)).body;
    // Another try is for what may have changed.
    said = undefined;
    return insistOnProfile(parseDeploycfg(body));
  });
  console.say(`this is ${node}, to boot ${config.profile}, by members ${members.join(', ')}`);
  await steps.run('lock', () => ofTpm.keepAndLock(key, lack));
  return { node, members, found, key, api, config };
}

async function findMembers(
  { members, node }: ApiSettings,
  trust: SiteTrust,
  console: BootConsole,
  signal: AbortSignal,
): Promise<Neighbours> {
  if (node !== undefined && !nodeName.test(node))
    throw new UsageError(`tetherfs.node=${node}: that is no name of a node`);
  if (members === 'discover') return discoverAll(node, trust, console, signal);
  const told = 'infoFile' in members ? readInfo(members.infoFile) : { node: undefined, members };
  const name = node ?? told.node ?? (await askForName(told.members, trust, signal));
  return { node: name, members: told.members, found: [] };
}

async function discoverAll(
  node: string | undefined,
  trust: SiteTrust,
  console: BootConsole,
  signal: AbortSignal,
): Promise<Neighbours> {
  const found = await discoverFor(patienceMs, trust, console, signal);
  const [first] = found.filter((one) => nodeName.test(one.node));
  if (first === undefined)
    throw new TetherfsError(
      'NO_MEMBER',
      `no member of this site answers: is one near, and does it know this machine (${describeMachine()}: collective node set NODE net.hwaddr=, or id.uuid=; a profile)?`,
    );
  await correctClock(first.time, console);
  const members = [...new Set(found.map(({ address }) => address))];
  // A datagram may be anybody's; where members tell names to who asks them over TLS, these count.
  const name = node ?? (await askForName(members, trust, signal).catch(() => first.node));
  return { node: name, members, found };
}

/** As somebody has left it in the initramfs. @throws UsageError when it names nobody. */
function readInfo(file: string): { node: string | undefined; members: readonly string[] } {
  const { node, members } = parseConfluentInfo(readGivenFile(file, 'tetherfs.api=').toString('utf8'));
  if (members.length === 0) throw new UsageError(`tetherfs.api=${file}: it names no member (MANAGER: ADDRESS)`);
  return { node: nodeName.test(node) ? node : undefined, members: members.map(({ address }) => nameZone(address)) };
}

/** Of members on other networks, too, which discovery does not reach. */
async function askForName(members: readonly string[], trust: SiteTrust, signal: AbortSignal): Promise<string> {
  const api = new MemberApi({ members, authorities: trust.tls, node: '', key: '', signal });
  const answers = await api.ask('whoami', { ids: formatNames(ownNames()) });
  if (isNowhere(answers))
    throw new TetherfsError(
      'NO_MEMBER',
      `no member knows this machine (${describeMachine()}), of ${members.join(', ')}: say its name (tetherfs.node=), or have them know it (collective node set NODE net.hwaddr=, or id.uuid=), on a network that is trusted`,
    );
  const name = goodAnswer(answers).body.toString('utf8').trim();
  if (!nodeName.test(name)) throw new TetherfsError('API', 'what the member says makes no sense: a name that is none');
  return name;
}

/** For whoever is to tell members of it. */
function describeMachine(): string {
  const names = ownNames();
  const shown = names.slice(0, mostNames).map(({ value }) => value);
  return [...shown, ...(names.length > mostNames ? ['…'] : [])].join(', ');
}

const mostNames = 5;

/** Where it is asked on. */
function describeNetworks(): string {
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
    all.flatMap(({ internal, address }) => (internal ? [] : [`${name} ${address}`])),
  );
  return addresses.length === 0 ? 'no network device has an address yet' : `asked from ${addresses.join(', ')}`;
}

/** So long it is asked again and again before it is said, ms: networks come up slowly. */
const patienceMs = 20_000;
/** Between two times, where there is no network to ask on yet, ms. */
const pauseMs = 500;

async function discoverFor(
  ms: number,
  { uuid }: SiteTrust,
  console: BootConsole,
  signal: AbortSignal,
): Promise<FoundMember[]> {
  const until = performance.now() + ms;
  for (let hasSaid = false; ; hasSaid = true) {
    const found = await discoverMembers(uuid, signal);
    if (found.length > 0 || performance.now() > until) return found;
    if (!hasSaid) console.say(`looking for members of this site: none has answered yet; ${describeNetworks()}`);
    await sleep(pauseMs, undefined, { signal });
  }
}

function whyNoKey(node: string, outcomes: ReadonlyMap<string, GrantOutcome>): string {
  const ways = [...outcomes].map(([address, outcome]) => {
    if (outcome.kind === 'unreachable') return `${address} cannot be asked (${outcome.why})`;
    return outcome.kind === 'lost' ? `${address} has not answered` : `${address} gives none`;
  });
  const isDenied = [...outcomes.values()].some(({ kind }) => kind === 'denied');
  const remedy = isDenied ? `: arm it ("tetherfs collective node arm ${node} once"), on a network that is trusted` : '';
  return `${node} has no key: ${ways.join('; ')}${remedy}`;
}

/** @throws TetherfsError NO_PROFILE */
function insistOnProfile(config: Deploycfg): Deploycfg {
  if (!/^[A-Za-z0-9][\w.+-]*$/.test(config.profile))
    throw new TetherfsError('NO_PROFILE', 'nothing is pending for this node to boot: set deployment.pendingprofile');
  return config;
}
