/** What the members say of the image of this node: where it is, its digest, its key. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TetherfsError } from '../base/errors.ts';
import { isValidFileUrl } from '../base/file-url.ts';
import { parseKeyFile } from '../image/key-file.ts';
import type { Deploycfg } from '../protocol/deploycfg.ts';
import type { Enrolment } from './enrol.ts';
import { type ApiAnswer, goodAnswer, isNowhere, type MemberApi } from './member-api.ts';
import { authoritiesFile, imageKeyFile } from './places.ts';
import type { SiteTrust } from './trust.ts';

/** How often members are asked for a key that one of them knows nothing of while another is away. */
const rounds = 3;
const pauseMs = 1_000;

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
  const key = await firstKey(api, routes);
  return {
    members: urls,
    digest,
    caFile: given.caFile ?? leave(authoritiesFile, `${trust.tls.join('\n')}\n`, 0o644),
    keyFile: key && leave(imageKeyFile, key, 0o600),
  };
}

/**
 * Undefined of an image in clear, of which nobody has one. Members that cannot be asked leave that open: then it is asked some times, and what the image itself is tells the rest.
 * @throws TetherfsError API, UNREACHABLE when no member knows anything of it.
 */
async function firstKey(api: MemberApi, routes: readonly string[]): Promise<Buffer | undefined> {
  const check = (body: Buffer) => parseKeyFile(body, 'the key').fill(0);
  for (let round = 1; ; round++) {
    const answers: ApiAnswer[][] = [];
    for (const route of routes) {
      const all = await api.ask(route, { check });
      const last = all.at(-1);
      if (last?.kind === 'ok') return last.body;
      answers.push(all);
    }
    if (answers.every(isNowhere)) return undefined;
    const saysNone = (all: readonly ApiAnswer[]) =>
      all.some((answer) => isNowhere([answer])) && all.every(({ kind }) => kind !== 'refused');
    const open = answers.find((all) => !saysNone(all));
    if (open !== undefined) goodAnswer(open);
    if (round === rounds) return undefined;
    await sleep(pauseMs);
  }
}

/** All that serve it, over the way that the site says; those that answered us among them. */
export function imageUrls({ profile, protocol, members = [] }: Deploycfg, asked: readonly string[]): string[] {
  const hosts = [...new Set([...members, ...asked])].map((address) =>
    address.includes(':') ? `[${address.replace('%', '%25')}]` : address,
  );
  const urls = hosts.map((host) => `${protocol}://${host}/confluent-public/os/${profile}/rootimg.sfs`);
  // One that makes no sense is no reason to leave the others.
  return urls.filter(isValidFileUrl);
}

function leave(path: string, content: string | Uint8Array, mode: number): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The mode is that of a new file.
  rmSync(path, { force: true });
  writeFileSync(path, content, { mode });
  return path;
}
