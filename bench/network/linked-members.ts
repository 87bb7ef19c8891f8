/** Members behind links of their own, each serving the image: what most benches begin with. */
import { Nginx } from '../../test/support/nginx.ts';
import { type LinkSettings, type MemberLink, makeNetwork } from './network.ts';

export interface LinkedMembers extends AsyncDisposable {
  readonly links: MemberLink[];
  /** In the order of the links. */
  readonly servers: Nginx[];
  /** The image's http:// URL on each. */
  readonly urls: string[];
}

/** Each member serves `publicDir`; `path` is the image's below it. */
export async function startLinkedMembers(
  { publicDir, path }: { publicDir: string; path: string },
  settings: readonly LinkSettings[],
): Promise<LinkedMembers> {
  await using started = new AsyncDisposableStack();
  const { links } = started.use(await makeNetwork(settings));
  const servers: Nginx[] = [];
  for (const { address, launcher } of links) {
    servers.push(started.use(await Nginx.start({ address, launcher, publicDir })));
  }
  const members = started.move();
  return {
    links,
    servers,
    urls: servers.map((server) => server.url(path)),
    [Symbol.asyncDispose]: () => members.disposeAsync(),
  };
}

/** Three links alike. */
export function threeLinks(settings: LinkSettings): LinkSettings[] {
  return [settings, settings, settings];
}
