/** The command that mounts a packed image on a node, as far as the packing machine can know it. */
import { relative } from 'node:path';
import type { PackedImage } from './pack.ts';
import { confluentTree, liesIn } from './private-place.ts';

export function mountHint({ linkPath, digest, keyPath }: Pick<PackedImage, 'linkPath' | 'digest' | 'keyPath'>): string {
  const publicTree = `${confluentTree}/public`;
  const urlPath = liesIn(linkPath, publicTree)
    ? `confluent-public/${relative(publicTree, linkPath)}`
    : 'PATH/rootimg.sfs';
  const key = keyPath === undefined ? '' : ' --key-file rootimg.key';
  return `tetherfs mount --digest ${digest}${key} http://MEMBER/${urlPath} MOUNTPOINT`;
}
