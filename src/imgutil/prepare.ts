/**
 * Makes a tree one whose initramfs boots a diskless node: the runtime, and a hook for whichever of the distributions' tools the tree has. From then on those
 * make such an initramfs by themselves, also when a kernel is installed.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, open, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { describeError, errorCode, pathOf, TetherfsError, UsageError } from '../base/errors.ts';
import { initramfsFiles, nodeRuntime, runtimeImage, unitFiles } from '../base/installation.ts';
import { bytesOf, entryInside, fileInside } from '../base/tree-entry.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { directoryInside, rootFilesystem } from './directory-inside.ts';

export interface Prepared {
  /** Paths in the tree that were written. */
  readonly files: readonly string[];
  /** `initramfs-tools`, `dracut`: those that the tree has. */
  readonly tools: readonly string[];
  /** Programs that a node's initramfs needs and the tree has not, each with the package that brings it. */
  readonly missing: readonly { program: string; package: string }[];
}

interface Link {
  at: string;
  to: string;
}

interface Piece {
  /** Seen from the checkout's initramfs/; or a whole path. */
  from: string;
  /** In the tree. */
  to: string;
  mode: number;
}

const runtimePlace = '/usr/lib/tetherfs/runtime.sfs';
const scripts: readonly Piece[] = ['with-runtime', 'boot'].map((name) => ({
  from: name,
  to: `/usr/lib/tetherfs/${name}`,
  mode: 0o755,
}));

const share = '/usr/share/initramfs-tools';
const modules = '/usr/lib/dracut/modules.d';

/** By the program that makes an initramfs: their directories are other packages' as well. */
const tools: Readonly<Record<string, { has: readonly string[]; pieces: readonly Piece[] }>> = {
  'initramfs-tools': {
    has: ['/usr/sbin/mkinitramfs', '/sbin/mkinitramfs'],
    pieces: [
      { from: 'initramfs-tools/hooks/tetherfs', to: `${share}/hooks/tetherfs`, mode: 0o755 },
      { from: 'initramfs-tools/scripts/tetherfs', to: `${share}/scripts/tetherfs`, mode: 0o644 },
      { from: 'initramfs-tools/conf.d/tetherfs', to: `${share}/conf.d/tetherfs`, mode: 0o644 },
    ],
  },
  dracut: {
    has: ['/usr/bin/dracut', '/bin/dracut', '/usr/sbin/dracut', '/sbin/dracut'],
    pieces: [
      ...['module-setup.sh', 'parse-tetherfs.sh', 'mount-tetherfs.sh'].map((name) => ({
        from: `dracut/90tetherfs/${name}`,
        to: `${modules}/90tetherfs/${name}`,
        mode: 0o755,
      })),
      { from: 'dracut/tetherfs.conf', to: '/usr/lib/dracut/dracut.conf.d/tetherfs.conf', mode: 0o644 },
    ],
  },
};

const units = '/usr/lib/systemd/system';
/** For a tree with systemd: what the node does once it has booted. */
const unitPieces = ['tetherfs-node.service', 'tetherfs-members.service', 'tetherfs-members.timer'].map(
  (name): Piece => ({ from: join(unitFiles, name), to: `${units}/${name}`, mode: 0o644 }),
);
/** As a package enables them: whoever does not want one masks it. */
const unitLinks: readonly Link[] = [
  { at: `${units}/multi-user.target.wants/tetherfs-node.service`, to: '../tetherfs-node.service' },
  { at: `${units}/timers.target.wants/tetherfs-members.timer`, to: '../tetherfs-members.timer' },
];

const command = '/usr/bin/tetherfs';
/** So that it is found on a node that has booted. */
const commandLink: Link = { at: command, to: `${nodeRuntime}/tetherfs` };

const programs: readonly { program: string; package: string; in: readonly string[] }[] = [
  { program: 'mkfs.xfs', package: 'xfsprogs', in: ['/usr/sbin', '/sbin'] },
  { program: 'dmsetup', package: 'dmsetup (Red Hat: device-mapper)', in: ['/usr/sbin', '/sbin'] },
  { program: 'modprobe', package: 'kmod', in: ['/usr/sbin', '/sbin'] },
  { program: 'losetup', package: 'mount (Red Hat: util-linux)', in: ['/usr/sbin', '/sbin'] },
  { program: 'ip', package: 'iproute2 (Red Hat: iproute)', in: ['/usr/bin', '/bin', '/usr/sbin', '/sbin'] },
];

/**
 * @param runtime the squashfs of scripts/build-runtime.
 * @throws UsageError when `directory` is no tree, or has none of the tools; TetherfsError NO_RUNTIME.
 */
export async function prepareTree(directory: string, runtime = runtimeImage): Promise<Prepared> {
  await insistOnRuntime(runtime);
  const tree = bytesOf(await rootFilesystem(directory, 'its next initramfs would look for no disk; '));
  const found = await initramfsTools(tree);
  if (found.length === 0) {
    throw new UsageError(
      `${directory} has nothing that makes an initramfs: install initramfs-tools or dracut in it, then prepare it again`,
    );
  }
  const pieces = [
    { from: resolve(runtime), to: runtimePlace, mode: 0o644 },
    ...scripts,
    ...found.flatMap((name) => tools[name]?.pieces ?? []),
  ];
  const hasSystemd = (await entryInside(tree, units))?.status.isDirectory() === true;
  if (hasSystemd) pieces.push(...unitPieces);
  const linked = await placeAll(tree, pieces, [commandLink, ...(hasSystemd ? unitLinks : [])]);
  return {
    files: [...pieces.map(({ to }) => to), ...linked],
    tools: found,
    missing: await missingPrograms(tree),
  };
}

/** `initramfs-tools`, `dracut`: those that a tree has. @param tree its real path, one character a byte. */
export async function initramfsTools(tree: string): Promise<string[]> {
  const found: string[] = [];
  for (const [name, { has }] of Object.entries(tools)) {
    const programs = await Promise.all(has.map((program) => fileInside(tree, program)));
    if (programs.some((program) => program !== undefined)) found.push(name);
  }
  return found;
}

/** @param tree its real path, one character a byte. @param initramfs of it. @returns why no node boots by that one, as far as can be told from outside; undefined: it may. */
export async function whyNotDiskless(tree: string, initramfs: string): Promise<string | undefined> {
  const again = 'then let its update-initramfs or dracut make it anew';
  const runtime = await fileInside(tree, runtimePlace);
  if (runtime === undefined)
    return `this initramfs is not made for tetherfs (confluent's own may be): tetherfs image prepare, ${again}`;
  const made = await fileInside(tree, initramfs);
  if (made === undefined || made.status.mtimeNs >= runtime.status.mtimeNs) return undefined;
  return `this initramfs is older than what tetherfs image prepare has put into the tree: ${again.replace('then ', '')}`;
}

/** @throws TetherfsError NO_RUNTIME */
export async function insistOnRuntime(runtime = runtimeImage): Promise<void> {
  const head = await readHead(runtime).catch(() => undefined);
  if (head !== undefined && imageLayout(head).format === 'squashfs') return;
  const what = head === undefined ? 'is missing' : 'is no squashfs';
  throw new TetherfsError('NO_RUNTIME', `${runtime} ${what}: make it by npm run build:runtime`);
}

async function readHead(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headerSize), 0, headerSize, 0);
  return buffer.subarray(0, bytesRead);
}

/** @returns the links that are new. @throws TetherfsError NOT_ROOT */
async function placeAll(tree: string, pieces: readonly Piece[], links: readonly Link[]): Promise<string[]> {
  try {
    for (const piece of pieces) await place(tree, piece);
    const made: string[] = [];
    for (const link of links) if (await makeLink(tree, link)) made.push(link.at);
    return made;
  } catch (cause) {
    if (!['EACCES', 'EPERM'].includes(errorCode(cause) ?? '')) throw cause;
    const what = `the tree cannot be written to (${pathOf(cause) ?? tree}: ${describeError(cause)}): run this as root`;
    throw new TetherfsError('NOT_ROOT', what, { cause });
  }
}

/** Never half: under another name first. */
async function place(tree: string, { from, to, mode }: Piece): Promise<void> {
  const target = await directoryInside(tree, dirname(to));
  const made = Buffer.from(`${target}/.${basename(to)}.new-${randomUUID()}`, 'latin1');
  try {
    await copyFile(resolve(initramfsFiles, from), made, constants.COPYFILE_EXCL);
    await chmod(made, mode);
    await rename(made, Buffer.from(`${target}/${basename(to)}`, 'latin1'));
  } catch (cause) {
    await rm(made, { force: true }).catch(() => {});
    throw cause;
  }
}

/** What the tree has of that name is left alone. @returns whether it was made. */
async function makeLink(tree: string, { at, to }: Link): Promise<boolean> {
  const directory = await directoryInside(tree, dirname(at));
  try {
    await symlink(to, Buffer.from(`${directory}/${basename(at)}`, 'latin1'));
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function missingPrograms(tree: string): Promise<Prepared['missing']> {
  const missing: { program: string; package: string }[] = [];
  for (const { program, package: bringer, in: directories } of programs) {
    const places = await Promise.all(directories.map((directory) => entryInside(tree, `${directory}/${program}`)));
    if (places.every((place) => place === undefined)) missing.push({ program, package: bringer });
  }
  return missing;
}
