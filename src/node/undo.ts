/** What a boot has made, taken down again: a failed one must leave nothing that another, perhaps of another image, would take for its own. */
import { existsSync } from 'node:fs';
import { listMounts } from '../base/mounts.ts';
import { abortConnection } from '../mount/kernel-tuning.ts';
import { unmount } from '../mount/unmount.ts';
import { loadBinding } from '../native/binding.ts';
import { imagePlace, isMounted, lowerPlace, rootSource, writablePlace } from './places.ts';
import { removeMapping } from './steps/decrypt.ts';
import { removeDisk } from './steps/overlay.ts';

/** Harmless where nothing is mounted. @param root where the root file system was to be: what is not of ours there stays. */
export async function undo(root: string): Promise<void> {
  const mounts = listMounts();
  const disk = mounts.find(({ mountpoint }) => mountpoint === writablePlace)?.source;
  const isOurs = mounts.some(({ mountpoint, source }) => mountpoint === root && source === rootSource);
  const lowers = mounts.map(({ mountpoint }) => mountpoint).filter((place) => place.startsWith(lowerPlace));
  // With what is mounted in it.
  for (const place of [...(isOurs ? [root] : []), writablePlace, ...lowers]) {
    if (isMounted(place))
      await loadBinding()
        .unmount(place, 'lazy')
        .catch(() => {});
  }
  const [, number] = /^\/dev\/zram(\d+)$/.exec(disk ?? '') ?? [];
  if (number !== undefined) removeDisk(Number(number));
  if (existsSync('/dev/mapper/control')) await removeMapping();
  if (isMounted(imagePlace)) await unmount(imagePlace, 'lazy').catch(() => {});
}

/** Whoever waits for bytes of the image gets an error. Where the kernel shows no connections they go on waiting. */
export async function abortImage(): Promise<void> {
  const device = listMounts().findLast(({ mountpoint }) => mountpoint === imagePlace)?.device;
  const [, minor] = /:(\d+)$/.exec(device ?? '') ?? [];
  if (minor === undefined) return;
  const connections = '/sys/fs/fuse/connections';
  if (!existsSync(`${connections}/${minor}`)) {
    const mounting = { source: 'fusectl', target: connections, type: 'fusectl', readOnly: false };
    await loadBinding()
      .mountFilesystem(mounting)
      .catch(() => {});
  }
  try {
    abortConnection({ minor: Number(minor) });
  } catch {
    // It has gone.
  }
}
