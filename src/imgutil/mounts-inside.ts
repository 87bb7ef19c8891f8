/**
 * What is mounted inside a tree that is to be packed: left over from work in a chroot (/proc, /dev, a cache), or somebody's secrets. It does not
 * belong to the tree.
 */
import { listMounts } from '../base/mounts.ts';
import { liesIn } from './private-place.ts';

/** Mountpoints in `tree`, a real path. */
export function mountsInside(tree: string): string[] {
  const inside = listMounts()
    .map(({ mountpoint }) => mountpoint)
    .filter((mountpoint) => mountpoint !== tree && liesIn(mountpoint, tree));
  return [...new Set(inside)];
}

/** Whether something is mounted at this real path. */
export function mountsAt(path: string): boolean {
  return listMounts().some(({ mountpoint }) => mountpoint === path);
}
