/** What a running machine is, and which of its file systems are captured: those on disks, each once. */
import { posix } from 'node:path';
import { type ListedMount, parseMounts, unescapeOctal } from '../../base/mounts.ts';
import { compareNames } from '../../base/natural-order.ts';
import { CaptureError } from '../errors.ts';
import { ownContents } from '../machine-rules.ts';
import { liesIn } from '../private-place.ts';
import type { Visit } from '../remote-member.ts';
import type { TreeFileSystem } from '../tree-file-systems.ts';

export interface NodeFileSystem extends TreeFileSystem {
  /** What of the file system is mounted there; `/@` is a subvolume of btrfs. */
  readonly root: string;
}

/** A place where a part of a captured file system can be seen as well. */
export interface Alias {
  readonly mountPoint: string;
  /** The same in the captured one, from the root. */
  readonly target: string;
}

export interface NodeSurvey {
  /** `uname -m`, `uname -r`. */
  readonly machine: string;
  readonly kernel: string;
  /** The root first, each behind those that it lies in. */
  readonly fileSystems: readonly NodeFileSystem[];
  /** The deepest first. */
  readonly aliases: readonly Alias[];
  /** Places, without links, of what the machine writes to all the time: frozen, nothing would go on that could thaw it. */
  readonly busy: readonly string[];
  /** What is mounted and not captured, each with the reason. */
  readonly passedOver: readonly string[];
  /** Files that are swapped to. */
  readonly swapFiles: readonly string[];
  /** A directory over which we can mount in a namespace of our own. */
  readonly room: string;
}

/** That the tools here and on a node can make again. */
const types = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'vfat']);
/** The kernel's own, and what programs make of other places. */
const noData =
  /^(proc|sysfs|devtmpfs|devpts|tmpfs|ramfs|rootfs|cgroup2?|cpuset|securityfs|selinuxfs|smackfs|pstore|bpf|debugfs|tracefs|configfs|mqueue|hugetlbfs|fusectl|efivarfs|binfmt_misc|rpc_pipefs|nsfs|nfsd|overlay|fuse\.(lxcfs|portal|gvfsd-fuse))$/;
/** The log and ssh's own doings among it. */
const neverFrozen = ['/var', '/run', '/tmp', '/root', '/etc', '/usr', '/dev'];
/** Whatever a shell says before it reads the script is not ours. */
const begins = 'tetherfs-survey';
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
echo ${begins}
uname -m
uname -r
for place in ${neverFrozen.join(' ')}; do [ ! -d $place ] || echo "busy $(realpath $place)"; done
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
  const [, said = ''] = (await visit.script(look)).split(`${begins}\n`);
  const [facts = '', mountinfo = ''] = said.split('\nmounts\n');
  const [machine = '', kernel = '', ...rest] = facts.split('\n');
  const told = (what: string) =>
    rest.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(what.length + 1));
  const { captured, aliases, passedOver } = choose(parseMounts(mountinfo), without);
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
  return {
    machine,
    kernel,
    fileSystems,
    aliases,
    busy: told('busy'),
    passedOver,
    swapFiles: swapFiles.map(unescapeOctal),
    room,
  };
}

export interface Choice {
  captured: ListedMount[];
  aliases: Alias[];
  passedOver: string[];
}

/** Those whose data is on a disk of the machine, each once: what is mounted in a second place as well is the same. @throws CaptureError */
export function choose(mounts: readonly ListedMount[], without: readonly string[]): Choice {
  const visible = mounts.filter(
    ({ mountpoint }, index) =>
      !mounts.slice(index + 1).some((later) => later.mountpoint !== '/' && liesIn(mountpoint, later.mountpoint)),
  );
  const root = visible.findLast(({ mountpoint }) => mountpoint === '/');
  if (root === undefined || whyNot(root, []) !== undefined) {
    const what = root === undefined ? 'nowhere to be seen' : `${root.type} on ${root.source}`;
    throw new CaptureError(`its root is ${what}: only ${[...types].join(', ')} on disks are captured`);
  }
  const choice: Choice = { captured: [root], aliases: [], passedOver: [] };
  const others = visible.filter(({ mountpoint }) => mountpoint !== '/');
  // What shows all of a file system before what shows a part of it.
  for (const mount of others.sort((a, b) => a.root.length - b.root.length)) place(mount, choice, without);
  const { captured, aliases } = choice;
  const wrong = captured.find(({ mountpoint }) => /\p{Cc}/u.test(mountpoint));
  if (wrong !== undefined)
    throw new CaptureError(`${JSON.stringify(wrong.mountpoint)} holds control characters: unmount it there`);
  for (const { mountPoint, target } of aliases) {
    const inside = captured.find(({ mountpoint }) => liesIn(mountpoint, mountPoint));
    if (inside !== undefined)
      throw new CaptureError(
        `${inside.mountpoint} is mounted in ${mountPoint}, which is ${target} once more: say --without ${inside.mountpoint}`,
      );
  }
  captured.sort((a, b) => depth(a.mountpoint) - depth(b.mountpoint) || compareNames(a.mountpoint, b.mountpoint));
  aliases.sort((a, b) => depth(b.mountPoint) - depth(a.mountPoint));
  return choice;
}

function place(mount: ListedMount, { captured, aliases, passedOver }: Choice, without: readonly string[]): void {
  const { mountpoint, device, root } = mount;
  const why = whyNot(mount, without);
  if (why !== undefined) {
    if (why !== '') passedOver.push(`${mountpoint} (${why})`);
    return;
  }
  // The smallest of those: they come behind.
  const whole = captured.findLast((one) => one.device === device && liesIn(root, one.root));
  // A subvolume is a file system of its own, also where it can be seen in another.
  const isSubvolume = root !== whole?.root && mount.options.split(',').includes(`subvol=${root}`);
  if (whole !== undefined && !isSubvolume) {
    const target = posix.join(whole.mountpoint, posix.relative(whole.root, root));
    aliases.push({ mountPoint: mountpoint, target });
    passedOver.push(`${mountpoint} (${target} once more)`);
    return;
  }
  const part = captured.find((one) => one.device === device && liesIn(one.root, root));
  if (part === undefined) captured.push(mount);
  else passedOver.push(`${mountpoint} (of it ${part.mountpoint} is captured, and nothing else)`);
}

/** @returns undefined: it may be captured; empty: nobody expects it to be. */
function whyNot({ mountpoint, type, source }: ListedMount, without: readonly string[]): string | undefined {
  if (without.some((directory) => liesIn(mountpoint, directory))) return 'as was said';
  if (noData.test(type)) return '';
  if (type === 'autofs') return liesIn(mountpoint, '/proc') ? '' : 'autofs: nothing is mounted there now';
  if (source.startsWith('/dev/zram') || !types.has(type) || !source.startsWith('/dev/')) return type;
  if (mountpoint !== '/' && ownContents.some((directory) => liesIn(mountpoint, directory)))
    return 'of this machine alone';
  return undefined;
}

function depth(path: string): number {
  return path === '/' ? 0 : path.split('/').length;
}
