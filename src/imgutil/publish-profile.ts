/**
 * A profile goes to another member: images, what they are booted with, and their keys. It arrives beside what is there, is compared once more from both
 * disks, and takes its place by renames, the names that mean the newest image last: a node that boots meanwhile gets the old image or the new one, with
 * its key. Nothing is removed there: nodes may hold older images.
 */
import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeRange } from '../base/byte-range.ts';
import { TetherfsError, UsageError } from '../base/errors.ts';
import type { ImageDigest } from '../image/digest.ts';
import type { Xts } from '../image/encryption.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { readHead } from '../image/image-source.ts';
import { exists } from './file-source.ts';
import { openImage } from './image-location.ts';
import { verifyImage } from './image-verify.ts';
import { temporaryId } from './leftovers.ts';
import { PrivateFiles, type PrivatePlace } from './private-files.ts';
import { confluentTree, profileDirectory, realPlace } from './private-place.ts';
import { imageName, newestImage } from './published-names.ts';
import type { RemoteMember, Visit } from './remote-member.ts';

/** What is to be published, checked. */
export interface PublishedProfile {
  readonly name: string;
  /** Real path of its public directory. */
  readonly publicDir: string;
  /** Of its private one; undefined where there is none: all its images are in clear. */
  readonly privateDir: string | undefined;
  readonly digest: ImageDigest;
}

export interface ProfileOptions extends PrivatePlace {
  xts: Xts;
  /** Bytes checked, of all. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * @param given a profile's public directory, or its name in confluent's tree.
 * @throws UsageError when it has no image or its key is not there; what `image verify` throws when the image is damaged; TetherfsError PUBLISH.
 */
export async function profileToPublish(given: string, options: ProfileOptions): Promise<PublishedProfile> {
  const { tree = confluentTree } = options;
  const directory = profileDirectory(given, tree);
  if (!(await exists(join(directory, imageName))))
    throw new UsageError(
      `${directory} has no ${imageName}: name a profile's public directory, or one of ${tree}/public/os`,
    );
  const newest = await newestImage(directory);
  if (newest === undefined)
    throw new UsageError(`nothing tells the digest of ${directory}/${imageName}: pack it by tetherfs image pack`);
  const { digest } = newest;
  await using image = await openImage(newest.path, {}, digest);
  const isEncrypted = imageLayout(await readHead(image.source, headerSize)).format === 'encrypted';
  const privateFiles = await PrivateFiles.besides(directory, options);
  const [key] = isEncrypted ? await privateFiles.keysFor(digest) : [];
  if (isEncrypted && key === undefined)
    throw new UsageError(`there is no key of ${newest.path} in ${privateFiles.directory}: give --private-dir`);
  const { onProgress, xts } = options;
  const { wrongBlocks } = await verifyImage(image, {
    ...{ digest, key, xts, onProgress, blockSize: 4096 },
    onWrongBlock(block) {
      throw new TetherfsError('PUBLISH', `${newest.path} is damaged at ${describeRange(block)}: pack it again`);
    },
  });
  if (wrongBlocks > 0) throw new Error('a wrong block that was not told');
  const publicDir = await realpath(directory);
  const privateDir = await realPlace(privateFiles.privateDir);
  return {
    // As it is called here, wherever a link leads.
    name: basename(directory),
    publicDir,
    privateDir: (await exists(privateDir)) ? privateDir : undefined,
    digest,
  };
}

/** What is under way, of a pack or of another publication; and what a member learned from its own nodes. */
const notTaken = [
  '/.publish-*',
  '.*.new-*',
  '.*.old-*',
  '.rootimg.sfs.pack-*',
  '/pending/traces-*',
  '/pending/rootimg-*.trace',
];

/** What profiles link to (`boot/initramfs/site.cpio`). A member that has its own keeps it: it may be of another time. */
const siteArchive = 'site/initramfs.cpio';

const kinds = {
  public: ['--chmod=D755,Fu=rwX,Fgo=rX'],
  private: ['--chmod=D700,F600'],
} as const;

/** @throws TetherfsError PROGRAM, PUBLISH: there it is as it was. */
export async function publishTo(
  profile: PublishedProfile,
  { tree }: RemoteMember,
  visit: Visit,
  onOutput?: (text: string) => void,
): Promise<void> {
  const { name, publicDir, privateDir, digest } = profile;
  const staging = `.publish-${temporaryId()}`;
  const places = [
    { kind: 'private', from: privateDir },
    { kind: 'public', from: publicDir },
  ] as const;
  await visit.script(prepare, tree, name, staging);
  try {
    for (const checks of [false, true]) {
      for (const { kind, from } of places) {
        if (from === undefined) continue;
        const to = `${tree}/${kind}/os/${name}/${staging}/`;
        const differs = await visit.rsync(
          [
            ...['-rlptc', '--omit-dir-times', '--compare-dest=../', ...kinds[kind]],
            ...notTaken.map((pattern) => `--exclude=${pattern}`),
            ...(checks ? ['--dry-run', '--out-format=%n'] : ['--info=progress2']),
          ],
          `${from}/`,
          to,
          checks ? undefined : onOutput,
        );
        const [first] = differs.split('\n');
        if (checks && first !== '')
          throw new TetherfsError(
            'PUBLISH',
            `${from}/${first} is another one there: it changed meanwhile; publish again`,
          );
      }
    }
    if ((await newestImage(publicDir))?.digest !== digest)
      throw new TetherfsError('PUBLISH', `${publicDir} has another image by now: publish again`);
    await visit.script(takePlace, tree, name, staging);
    const archive = join(publicDir, '../..', siteArchive);
    if (await exists(archive)) {
      await visit.rsync(['-ptc', '--ignore-existing', '--chmod=F644'], archive, `${tree}/public/${siteArchive}`);
    }
  } catch (error) {
    await visit.script(giveUp, tree, name, staging).catch(() => {});
    throw error;
  }
}

const begin = `set -eu
tree=$1 name=$2 staging=$3
fail() { echo "$*" >&2; exit 1; }
`;

/** Owners are those of what lies above; what another publication has left for a day is nobody's any more. */
const prepare = `${begin}
command -v rsync >/dev/null || fail "rsync is not installed there"
[ -d "$tree" ] || fail "there is no $tree: start a member there, or make it"
make() {
  [ -d "$1" ] && return
  mkdir -m "$2" "$1"
  chown --reference="\${1%/*}" "$1"
}
make "$tree/public" 755
make "$tree/public/site" 755
for kind in public private; do
  mode=755
  [ $kind = public ] || mode=700
  make "$tree/$kind" $mode
  make "$tree/$kind/os" $mode
  make "$tree/$kind/os/$name" $mode
  find "$tree/$kind/os/$name" -maxdepth 1 -name '.publish-*' -mtime +0 -exec rm -rf {} +
  mkdir -m 700 "$tree/$kind/os/$name/$staging"
done`;

/** What means the newest image comes last, its key right before it. */
const takePlace = `${begin}
settle() {
  place=$tree/$1/os/$name
  cd "$place/$staging"
  find . -type d -exec sh -ec 'place=$1; shift; for d; do
    [ -d "$place/$d" ] || { mkdir -m "$(stat -c %a "$d")" "$place/$d"; chown --reference="$place" "$place/$d"; }
  done' sh "$place" {} +
  find . ! -type d ! -path ./rootimg.sfs ! -path ./rootimg.sfs.fsverity ! -path ./pending/rootimg.key \\
    -exec sh -ec 'place=$1; shift; for f; do mv -fT -- "$f" "$place/$f"; done' sh "$place" {} +
}
point() {
  [ ! -e "$1/$staging/$2" ] && [ ! -L "$1/$staging/$2" ] || mv -fT -- "$1/$staging/$2" "$1/$2"
}
for kind in private public; do
  chown -hR --reference="$tree/$kind" "$tree/$kind/os/$name/$staging"
done
# Where a directory is to be a file is, or the other way round, nothing has changed yet.
for kind in private public; do
  place=$tree/$kind/os/$name
  cd "$place/$staging"
  find . -mindepth 1 -type d -exec sh -ec 'place=$1; shift; for d; do
    [ ! -e "$place/$d" ] || [ -d "$place/$d" ] || { echo "$place/$d is no directory there, as it is here" >&2; exit 1; }
  done' sh "$place" {} +
  find . ! -type d -exec sh -ec 'place=$1; shift; for f; do
    [ ! -d "$place/$f" ] || [ -L "$place/$f" ] || { echo "$place/$f is a directory there, and a file here" >&2; exit 1; }
  done' sh "$place" {} +
done
# These files alone: all that this machine has not written yet may be much.
for kind in public private; do
  find "$tree/$kind/os/$name/$staging" -type f -exec sync -- {} +
done
settle private
settle public
point "$tree/private/os/$name" pending/rootimg.key
point "$tree/public/os/$name" rootimg.sfs.fsverity
point "$tree/public/os/$name" rootimg.sfs
cd /
rm -rf "$tree/private/os/$name/$staging" "$tree/public/os/$name/$staging"`;

const giveUp = `${begin}
rm -rf "$tree/private/os/$name/$staging" "$tree/public/os/$name/$staging"`;
