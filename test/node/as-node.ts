/** as-node WHAT TRUST JSON: does one thing that a node does, with what an initramfs has in the directory TRUST; prints what came of it as JSON. */
import { askDeploycfg, parseDeploycfg } from '../../src/node/deploycfg.ts';
import { discoverMembers } from '../../src/node/discovery.ts';
import { type Enrolment, enrol } from '../../src/node/enrol.ts';
import { askForGrant } from '../../src/node/grant-client.ts';
import { goodAnswer, MemberApi } from '../../src/node/member-api.ts';
import { imageOfNode } from '../../src/node/node-image.ts';
import { makeNodeKey } from '../../src/node/node-key.ts';
import { Steps } from '../../src/node/step.ts';
import { giveIdentity } from '../../src/node/steps/identity.ts';
import { setUpRootNetwork } from '../../src/node/steps/root-network.ts';
import { readTrust } from '../../src/node/trust.ts';

interface Words {
  uuid?: string;
  address?: string;
  node?: string;
  members?: string[];
  authorities?: string[];
  key?: string;
  route?: string;
  root?: string;
  tpmPcrs?: number[];
  /** It does not know its name. */
  nameless?: boolean;
  infoFile?: string;
  wholeMs?: number;
}

const [what = '', directory = '', json = '{}'] = process.argv.slice(2);
const trust = readTrust(directory);
const {
  uuid = trust.uuid,
  address = '',
  node = 'n1',
  members = [],
  authorities = trust.tls,
  key = '',
  route = '',
  root = '',
  tpmPcrs = [],
  nameless = false,
  infoFile,
  wholeMs,
} = JSON.parse(json) as Words;

const signal = new AbortController().signal;
const said: string[] = [];
const console = { say: (line: string) => void said.push(line) };

const lacks: string[] = [];
const lack = (what: string) => void lacks.push(what);

/** With a key from before it asks in the order that is given; else it gets one, and asks first who has granted it. */
async function enrolled(): Promise<Enrolment> {
  if (key !== '') {
    const api = new MemberApi({ members, authorities, node, key });
    const config = parseDeploycfg(goodAnswer(await askDeploycfg(api)).body);
    return { node, members, found: [], key, api, config };
  }
  const addresses = members.length === 0 ? 'discover' : (members as [string, ...string[]]);
  const found = infoFile === undefined ? addresses : { infoFile };
  const settings = { members: found, node: members.length === 0 || nameless ? undefined : node, tpmPcrs } as const;
  return enrol({ settings, trust, steps: new Steps(console, signal), console, signal, lack });
}

const doings: Record<string, () => Promise<unknown>> = {
  discover: () => discoverMembers(uuid),
  async grant() {
    const made = await makeNodeKey();
    return { outcome: await askForGrant({ address, node, hash: made.hash }), key: made.key };
  },
  async ask() {
    const answers = await new MemberApi({ members, authorities, node, key }).ask(
      route,
      wholeMs === undefined ? {} : { wholeMs },
    );
    return answers.map((answer) => (answer.kind === 'ok' ? { ...answer, body: answer.body.toString() } : answer));
  },
  async image() {
    const steps = new Steps(console, signal);
    const enrolment = await steps.run('configuration', enrolled);
    const given = { members: [], digest: undefined, caFile: undefined };
    const { keyFile } = await steps.run('image key', () => imageOfNode(enrolment, given, trust));
    return { keyFile: keyFile ?? null, said };
  },
  async enrol() {
    const { key, node: name, members: known } = await enrolled();
    return { key, node: name, members: known, said, lacks };
  },
  async identity() {
    const enrolment = await enrolled();
    const identity = await giveIdentity({ root, enrolment, trust, lack });
    const rootNetwork = await setUpRootNetwork({ root, machine: root, enrolment, console, lack });
    return { identity, rootNetwork, lacks, said, key: enrolment.key };
  },
};
process.stdout.write(JSON.stringify(await doings[what]?.()));
