/** Members behind links of their own, each serving the image: what most benches begin with. */
import { Nginx } from '../../test/support/nginx.ts';
import type { PackedImage } from '../../test/support/packed-image.ts';
import { type MemberLink, makeNetwork, type Shaping } from './network.ts';

export interface LinkedMembers extends AsyncDisposable {
  readonly links: MemberLink[];
  /** The image's http:// URL on each. */
  readonly urls: string[];
}

/** @param megabits rate of each member's link, Mbit/s. */
export async function startLinkedMembers(
  image: PackedImage,
  megabits: readonly number[],
  shaping: Shaping,
): Promise<LinkedMembers> {
  await using started = new AsyncDisposableStack();
  const links = makeNetwork(megabits, shaping);
  const urls: string[] = [];
  for (const { address, launcher } of links) {
    const nginx = started.use(await Nginx.start({ address, launcher, publicDir: image.publicDir }));
    urls.push(nginx.url(image.path));
  }
  const members = started.move();
  return { links, urls, [Symbol.asyncDispose]: () => members.disposeAsync() };
}
