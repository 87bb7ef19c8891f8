/** Members of the image under a node that runs: those that the site has got since it booted are added. None is taken away: who does not answer is not asked. */
import { shownUrl } from '../../base/file-url.ts';
import { changeMembers, readStatus } from '../../mount/control-client.ts';
import { imageUrls } from '../node-image.ts';
import { imageControl } from '../places.ts';
import type { BootRecord } from '../records.ts';
import type { RunningNode } from './running-node.ts';

/** For people; undefined: there may be some. */
export function whyNoNewMembers({ identity, membersGiven, method }: BootRecord): string | undefined {
  if (method === 'uncompressed') return 'the image of this node was unpacked: nothing comes from members any more';
  if (identity !== undefined && !membersGiven) return undefined;
  return 'the members of this node stood on its kernel command line: tetherfs members add MOUNTPOINT URL adds others';
}

/** @returns URLs that are new. @throws TetherfsError as the daemon does, and as asking does. */
export async function addNewMembers(node: RunningNode, signal: AbortSignal): Promise<string[]> {
  await node.askAgain(signal);
  const control = imageControl();
  const { members } = await readStatus(control);
  const known = new Set(members.map(({ url }) => url));
  const missing = imageUrls({ ...node.config, profile: node.profile }, node.members).filter(
    (url) => !known.has(shownUrl(url)),
  );
  if (missing.length > 0) await changeMembers(control, { add: missing, remove: [] });
  return missing;
}
