/**
 * What the far side runs, as one script of sh (collect.sh has its functions): it shows itself the machine's file systems once more, read-only, in a mount namespace of its own, makes harmless copies of the files that no other
 * machine may have (machine-rules.ts), and writes one tar archive after the other to its standard output. All that it mounts is gone with the namespace, whatever ends it. What is not, a frozen
 * file system and snapshots, a second process undoes when nothing is heard of us any more.
 */
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { captureFunctions } from '../../base/installation.ts';
import { quoted } from '../../base/shell-word.ts';
import { largestText, machineRules, ownContents, shortestHash } from '../machine-rules.ts';
import { liesIn } from '../private-place.ts';
import { mountedIn } from '../tree-file-systems.ts';
import { type Alias, farPath, type NodeFileSystem, type NodeSurvey } from './survey.ts';

export interface CollectorOptions {
  /** Paths that are sent as they are. */
  keep: readonly string[];
  /** Directories of which nothing is sent. */
  without: readonly string[];
  /** Whether file systems are frozen, or read as a snapshot, while they are read. */
  freeze: boolean;
  /** When nothing is heard of us for so long, we are gone; s. */
  silence?: number;
}

/** Lines that it prints to us on standard error begin so; all others are complaints. */
export const masked = 'tetherfs-masked ';
export const kept = 'tetherfs-kept ';
export const note = 'tetherfs-note ';

/** s */
const usualSilence = 60;

export function collector(survey: NodeSurvey, options: CollectorOptions): string {
  return `${farPath}\nexec unshare --mount --propagation private sh -c ${quoted(inOwnMounts(survey, options))}`;
}

function inOwnMounts(
  { fileSystems, aliases, busy, swapFiles, room }: NodeSurvey,
  { keep, without, freeze, silence = usualSilence }: CollectorOptions,
): string {
  // Mounted there, or mounted elsewhere and to be seen there: captured by itself.
  const elsewhere = (fileSystem: NodeFileSystem) => {
    const { mountPoint, device, root } = fileSystem;
    const parts = fileSystems.filter((one) => one.device === device && one.root !== root && liesIn(one.root, root));
    return [
      ...mountedIn(fileSystem, fileSystems),
      ...parts.map((one) => posix.join(mountPoint, posix.relative(root, one.root))),
    ];
  };
  const show = (fileSystem: NodeFileSystem) => {
    const { mountPoint, type, root } = fileSystem;
    if (!freeze || type !== 'btrfs') return `show ${quoted(mountPoint)}`;
    return ['snapshot', root, mountPoint, ...elsewhere(fileSystem)].map(quoted).join(' ');
  };
  const send = (fileSystem: NodeFileSystem) => {
    const { mountPoint } = fileSystem;
    const words = ['send', mountPoint, ...elsewhere(fileSystem).map((path) => `--exclude=.${literal(path)}/*`)]
      .map(quoted)
      .join(' ');
    return freeze && canFreeze(fileSystem, aliases, busy) ? `freeze ${quoted(mountPoint)}\n${words}\nthaw` : words;
  };
  return [
    ...Object.entries({
      ...{ room, silence: String(silence), largest: String(largestText), without_hashes: withoutHashes },
      ...{ note_mark: note, kept_mark: kept, masked_mark: masked },
    }).map(([name, value]) => `${name}=${quoted(value)}`),
    settled(aliases),
    readFileSync(captureFunctions, 'utf8'),
    ...fileSystems.map(show),
    // The deepest last.
    ...aliases.toReversed().map(({ mountPoint }) => `show ${quoted(mountPoint)}`),
    ...ownContents.map((path) => `contents ${quoted(path)}`),
    ...without.map((path) => `contents ${quoted(path)} asked`),
    ...keep.map((path) => `keep ${quoted(path)} ${quoted(literal(path))}`),
    ...machineRules.map(({ becomes = 'empty', ifItHolds, paths }, index) => {
      const holds = ifItHolds ?? (becomes === 'without hashes' ? hashed : '');
      return `rule ${[String(index), becomes, holds, ...paths].map(quoted).join(' ')}`;
    }),
    ...swapFiles.map((path) => `leave_out ${quoted(path)}`),
    ...aliases.map(({ mountPoint }) => `hide ${quoted(mountPoint)}`),
    ...fileSystems.map(send),
    'send_masked',
  ].join('\n');
}

/** Where in the image is what a machine knows by that path: sets `place`. */
function settled(aliases: readonly Alias[]): string {
  const cases = aliases.map(({ mountPoint, target }) => {
    const from = quoted(mountPoint);
    return `    ${from}/*) place=${quoted(target === '/' ? '' : target)}\${place#${from}} ;;`;
  });
  return ['settle() {', '  place=$1', ...(cases.length > 0 ? ['  case $place in', ...cases, '  esac'] : []), '}'].join(
    '\n',
  );
}

/** In a pattern of fnmatch(3). */
function literal(path: string): string {
  return path.replace(/[\\*?[]/g, '\\$&');
}

function canFreeze({ mountPoint, type }: NodeFileSystem, aliases: readonly Alias[], busy: readonly string[]): boolean {
  if (mountPoint === '/' || type === 'vfat' || type === 'btrfs') return false;
  const own = [mountPoint, ...aliases.filter(({ target }) => liesIn(target, mountPoint)).map((one) => one.mountPoint)];
  return !own.some((place) => busy.some((one) => liesIn(one, place) || liesIn(place, one)));
}

/** In shadow(5) and its like. */
const hash = `[^:!][^:]{${shortestHash - 1},}`;
export const hashed = `^[^:]*:!*${hash}`;
/** For sed -E: nobody logs in by such a password any more, and what was locked stays locked. */
export const withoutHashes = String.raw`s/^([^:]*):!+${hash}/\1:!/; s/^([^:]*):${hash}/\1:*/`;
