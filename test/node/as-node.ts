/** as-node WHAT TRUST JSON: does one thing that a node does, with what an initramfs has in the directory TRUST; prints what came of it as JSON. */
import { discoverMembers } from '../../src/node/discovery.ts';
import { askForGrant } from '../../src/node/grant-client.ts';
import { MemberApi } from '../../src/node/member-api.ts';
import { makeNodeKey } from '../../src/node/node-key.ts';
import { readTrust } from '../../src/node/trust.ts';

interface Words {
  uuid?: string;
  address?: string;
  node?: string;
  members?: string[];
  authorities?: string[];
  key?: string;
  route?: string;
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
} = JSON.parse(json) as Words;

const doings: Record<string, () => Promise<unknown>> = {
  discover: () => discoverMembers(uuid),
  async grant() {
    const made = await makeNodeKey();
    return { outcome: await askForGrant({ address, node, hash: made.hash }), key: made.key };
  },
  async ask() {
    const answers = await new MemberApi({ members, authorities, node, key }).ask(route);
    return answers.map((answer) => (answer.kind === 'ok' ? { ...answer, body: answer.body.toString() } : answer));
  },
};
process.stdout.write(JSON.stringify(await doings[what]?.()));
