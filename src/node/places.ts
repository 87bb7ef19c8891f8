/**
 * Where a node's mounts lie. /run moves along to the new root, and below /run/initramfs systemd unmounts nothing at shutdown, which would fail: the root
 * stands on it.
 */
import { mkdirSync } from 'node:fs';
import { listMounts } from '../base/mounts.ts';
import { controlPathOf } from '../mount/control-path.ts';

/** Where systemd goes at the end of a shutdown, and does not unmount anything before. */
export const exitPlace = '/run/initramfs';
const base = `${exitPlace}/tetherfs`;

/** Where the image's file is. */
export const imagePlace = `${base}/image`;
/** The squashfs in it. */
export const lowerPlace = `${base}/lower`;
/** The file system on compressed RAM. */
export const writablePlace = `${base}/writable`;
/** What the root file system is called in the kernel's list of mounts. */
export const rootSource = 'tetherfs';
/** Authorities of the site, for the daemon; and the key of the image, which whoever is root can read from the kernel as well. */
export const authoritiesFile = '/run/tetherfs/site-ca.pem';
export const imageKeyFile = '/run/tetherfs/rootimg.key';
/** How the boot went, and what came after it: records.ts. */
export const bootRecordFile = '/run/tetherfs/boot.json';
export const onbootRecordFile = '/run/tetherfs/onboot.json';

/** Control socket of the image's mount. */
export function imageControl(): string {
  return controlPathOf(imagePlace);
}

/** Whether a step that was interrupted had come so far. */
export function isMounted(place: string): boolean {
  return listMounts().some(({ mountpoint }) => mountpoint === place);
}

export function makePlace(place: string): string {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  return place;
}
