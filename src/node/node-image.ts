/** What the members say of the image of this node: where it is, its digest, its key. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { TetherfsError } from '../base/errors.ts';
import type { Deploycfg } from '../protocol/deploycfg.ts';
import type { Enrolment } from './enrol.ts';
import { goodAnswer, isNowhere } from './member-api.ts';
import { authoritiesFile, imageKeyFile } from './places.ts';
import type { SiteTrust } from './trust.ts';

export interface NodeImage {
  members: readonly [string, ...string[]];
  digest: string | undefined;
  caFile: string | undefined;
  keyFile: string | undefined;
}

/** What was said on the command line takes the place of what the members say. */
export interface GivenImage {
  members: readonly string[];
  digest: string | undefined;
  caFile: string | undefined;
}

/** @throws TetherfsError API, NO_DIGEST */
export async function imageOfNode(
  { members, api, config }: Enrolment,
  given: GivenImage,
  trust: SiteTrust,
): Promise<NodeImage> {
  const [first, ...others] = given.members.length > 0 ? given.members : imageUrls(config, members);
  if (first === undefined) throw new TetherfsError('API', 'the members name nobody who has the image');
  const urls: NodeImage['members'] = [first, ...others];
  const digest = given.digest ?? config.image_digest;
  if (digest === undefined && urls.some((url) => !/^https:/i.test(url)))
    throw new TetherfsError(
      'NO_DIGEST',
      `nobody has told the digest of ${config.profile}, and its image comes over http://: pack it by tetherfs image pack, or set deployment.useinsecureprotocols=never`,
    );
  const hex = digest?.replace(/^sha256:/, '');
  const routes = [...(hex === undefined ? [] : [`imagekey/${hex}`]), 'profileprivate/pending/rootimg.key'];
  let key: Buffer | undefined;
  for (const route of routes) {
    const answers = await api.ask(route);
    // Of an image in clear nobody has one.
    if (!isNowhere(answers)) key = goodAnswer(answers).body;
    if (key !== undefined) break;
  }
  return {
    members: urls,
    digest,
    caFile: given.caFile ?? leave(authoritiesFile, `${trust.tls.join('\n')}\n`, 0o644),
    keyFile: key && leave(imageKeyFile, key, 0o600),
  };
}

/** All that serve it, over the way that the site says; those that answered us among them. */
export function imageUrls({ profile, protocol, members = [] }: Deploycfg, asked: readonly string[]): string[] {
  const hosts = [...new Set([...members, ...asked])].map((address) =>
    address.includes(':') ? `[${address.replace('%', '%25')}]` : address,
  );
  return hosts.map((host) => `${protocol}://${host}/confluent-public/os/${profile}/rootimg.sfs`);
}

function leave(path: string, content: string | Uint8Array, mode: number): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The mode is that of a new file.
  rmSync(path, { force: true });
  writeFileSync(path, content, { mode });
  return path;
}
