/** What a running machine is, and which of its file systems are captured: those on disks, each once. */
import { posix } from 'node:path';
import { type ListedMount, parseMounts, unescapeOctal } from '../../base/mounts.ts';
import { compareNames } from '../../base/natural-order.ts';
import { CaptureError } from '../errors.ts';
import { liesIn } from '../private-place.ts';
import type { Visit } from '../remote-member.ts';
import type { TreeFileSystem } from '../tree-file-systems.ts';

export interface NodeFileSystem extends TreeFileSystem {
  /** What of the file system is mounted there; `/@` is a subvolume of btrfs. */
  readonly root: string;
}

export interface NodeSurvey {
  /** `uname -m`, `uname -r`. */
  readonly machine: string;
  readonly kernel: string;
  /** The root first, each behind those that it lies in. */
  readonly fileSystems: readonly NodeFileSystem[];
  /** What is mounted and not captured, each with the reason. */
  readonly passedOver: readonly string[];
  /** Files that are swapped to. */
  readonly swapFiles: readonly string[];
  /** A directory over which we can mount in a namespace of our own. */
  readonly room: string;
}

/** That the tools here and on a node can make again. */
const types = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'vfat']);
const rooms = ['/mnt', '/media', '/srv', '/tmp', '/opt'];

/** Programs that the far side calls. */
const programs = [
  ...['chroot', 'cp', 'find', 'fsfreeze', 'grep', 'head', 'mkdir', 'mount', 'realpath', 'sed', 'stat', 'tar'],
  ...['timeout', 'touch', 'umount', 'unshare'],
];

export const farPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C; export PATH LC_ALL';

const look = `set -eu
${farPath}
fail() { echo "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "only root can read all of a machine: log in as root"
missing=
for program in ${programs.join(' ')}; do
  command -v $program >/dev/null || missing="$missing $program"
done
[ -z "$missing" ] || fail "it lacks$missing: install that there"
tar --version | grep -q 'GNU tar' || fail "its tar is not GNU tar: install that there"
uname -m
uname -r
for room in ${rooms.join(' ')}; do [ ! -d $room ] || [ -L $room ] || echo "room $room"; done
sed 's/^/swap /' /proc/swaps
echo mounts
cat /proc/self/mountinfo`;

/** Bytes of a block, blocks, free ones. */
const measure = `set -eu
${farPath}
for place; do stat -f -c '%S %b %f' -- "$place"; done`;

/** @param without directories of which nothing is captured. @throws CaptureError when the machine cannot be captured; TetherfsError PROGRAM */
export async function survey(visit: Visit, without: readonly string[]): Promise<NodeSurvey> {
  const [facts = '', mountinfo = ''] = (await visit.script(look)).split('\nmounts\n');
  const [machine = '', kernel = '', ...rest] = facts.split('\n');
  const told = (what: string) =>
    rest.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(what.length + 1));
  const { captured, passedOver } = choose(parseMounts(mountinfo), without);
  const sizes = (await visit.script(measure, ...captured.map(({ mountpoint }) => mountpoint))).trim().split('\n');
  const fileSystems = captured.map(({ mountpoint, type, source, options, root }, index): NodeFileSystem => {
    const [block = 0, blocks = 0, free = 0] = (sizes[index] ?? '').split(' ').map(Number);
    const size = block * blocks;
    const used = block * (blocks - free);
    return { mountPoint: mountpoint, type, device: source, options, root, size, used };
  });
  const places = fileSystems.map(({ mountPoint }) => mountPoint);
  const room = told('room').find((one) => !places.some((place) => liesIn(place, one)));
  if (room === undefined) throw new CaptureError(`it has none of ${rooms.join(', ')} free of its file systems`);
  const swapFiles = told('swap').flatMap((line) => /^(\/\S+)\s+file\s/.exec(line)?.slice(1) ?? []);
  return { machine, kernel, fileSystems, passedOver, swapFiles: swapFiles.map(unescapeOctal), room };
}

/** Those whose data is on a disk of the machine, each once: what is mounted in a second place as well is the same. */
function choose(
  mounts: readonly ListedMount[],
  without: readonly string[],
): { captured: ListedMount[]; passedOver: string[] } {
  const captured: ListedMount[] = [];
  const passedOver: string[] = [];
  const visible = mounts.filter(
    (mount, index) =>
      !mounts.slice(index + 1).some((later) => liesIn(mount.mountpoint, later.mountpoint) && later.mountpoint !== '/'),
  );
  for (const mount of visible) {
    const why = whyNot(mount, captured, without);
    if (why === undefined) captured.push(mount);
    else if (why !== '') passedOver.push(`${mount.mountpoint} (${why})`);
  }
  const root = visible.findLast(({ mountpoint }) => mountpoint === '/');
  if (root === undefined || !captured.includes(root)) {
    const what = root === undefined ? 'nowhere to be seen' : `${root.type} on ${root.source}`;
    throw new CaptureError(`its root is ${what}: only ${[...types].join(', ')} on disks are captured`);
  }
  const wrong = captured.find(({ mountpoint }) => /\p{Cc}/u.test(mountpoint));
  if (wrong !== undefined)
    throw new CaptureError(`${JSON.stringify(wrong.mountpoint)} holds control characters: unmount it there`);
  return {
    captured: captured.sort((a, b) => depth(a) - depth(b) || compareNames(a.mountpoint, b.mountpoint)),
    passedOver,
  };
}

/** @returns undefined: it is captured; empty: nobody expects it to be. */
function whyNot(mount: ListedMount, captured: readonly ListedMount[], without: readonly string[]): string | undefined {
  const { mountpoint, type, source, device, root } = mount;
  if (without.some((place) => liesIn(mountpoint, place))) return 'as was said';
  const isOfDisk = source.startsWith('/dev/') && !source.startsWith('/dev/zram');
  if (!isOfDisk) return /^\/|:/.test(source) ? type : '';
  if (!types.has(type)) return type;
  if (/\/\.snapshots$/.test(mountpoint)) return 'snapshots';
  const same = captured.find((one) => one.device === device && (liesIn(root, one.root) || liesIn(one.root, root)));
  return same && `the same as ${same.mountpoint}`;
}

function depth({ mountpoint }: ListedMount): number {
  return posix.normalize(mountpoint) === '/' ? 0 : mountpoint.split('/').length;
}
