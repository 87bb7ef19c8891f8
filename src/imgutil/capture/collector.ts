/**
 * What the far side runs, as one script of sh: it shows itself the machine's file systems once more, read-only, in a mount namespace of its own, makes harmless copies of the files that no other
 * machine may have (machine-rules.ts), and writes one tar archive after the other to its standard output. All that it mounts is gone with the namespace, whatever ends it. What is not, a frozen
 * file system and snapshots, a second process undoes when nothing is heard of us any more.
 */
import { quoted } from '../../base/shell-word.ts';
import { largestText, machineRules, ownContents, shortestHash } from '../machine-rules.ts';
import { liesIn } from '../private-place.ts';
import { farPath, type NodeFileSystem, type NodeSurvey } from './survey.ts';

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
export const note = 'tetherfs-note ';

/** s */
const usualSilence = 60;

/** What the machine writes to all the time, the log and ssh's own doings among it: frozen, nothing would go on that could thaw it. */
const neverFrozen = ['/', '/var', '/run', '/tmp', '/root', '/etc', '/usr', '/dev'];

export function collector(survey: NodeSurvey, options: CollectorOptions): string {
  return `${farPath}\nexec unshare --mount --propagation private sh -c ${quoted(inOwnMounts(survey, options))}`;
}

function inOwnMounts(
  { fileSystems, swapFiles, room }: NodeSurvey,
  { keep, without, freeze, silence = usualSilence }: CollectorOptions,
): string {
  const places = fileSystems.map(({ mountPoint }) => mountPoint);
  const show = ({ mountPoint, type, root }: NodeFileSystem) =>
    freeze && type === 'btrfs'
      ? `snapshot ${quoted(root)} ${quoted(mountPoint)} ${places.map(quoted).join(' ')}`
      : `show ${quoted(mountPoint)}`;
  const send = (fileSystem: NodeFileSystem) => {
    const { mountPoint } = fileSystem;
    const deeper = places.filter((place) => place !== mountPoint && liesIn(place, mountPoint));
    const contents = [...ownContents, ...without, ...deeper].map((place) => quoted(`--exclude=.${literal(place)}/*`));
    const words = `send ${quoted(mountPoint)} ${contents.join(' ')}`;
    return freeze && canFreeze(fileSystem) ? `freeze ${quoted(mountPoint)}\n${words}\nthaw` : words;
  };
  return [
    begin(room, silence),
    ...fileSystems.map(show),
    ...keep.map((path) => `keep ${quoted(path)}`),
    ...machineRules.map(({ becomes = 'empty', ifItHolds, paths }, index) => {
      const holds = ifItHolds ?? (becomes === 'without hashes' ? hashed : '');
      return `rule ${[String(index), becomes, holds, ...paths].map(quoted).join(' ')}`;
    }),
    ...swapFiles.map((path) => `leave_out ${quoted(path)}`),
    ...fileSystems.map(send),
    'send_masked',
  ].join('\n');
}

/** In a pattern of fnmatch(3). */
function literal(path: string): string {
  return path.replace(/[\\*?[]/g, '\\$&');
}

function canFreeze({ mountPoint, type }: NodeFileSystem): boolean {
  const isBusy = neverFrozen.some((place) => liesIn(place, mountPoint) || (place !== '/' && liesIn(mountPoint, place)));
  return !isBusy && type !== 'vfat' && type !== 'btrfs';
}

/** In shadow(5) and its like. */
const hash = `[^:!][^:]{${shortestHash - 1},}`;
export const hashed = `^[^:]*:!*${hash}`;
/** For sed -E: nobody logs in by such a password any more, and what was locked stays locked. */
export const withoutHashes = String.raw`s/^([^:]*):!+${hash}/\1:!/; s/^([^:]*):${hash}/\1:*/`;

const begin = (room: string, silence: number) =>
  String.raw`set -eu
umask 077
exec 3<&0 </dev/null
room=${quoted(room)}
mount -t tmpfs -o mode=0700 tetherfs "$room"
view=$room/view masked=$room/masked kept=$room/kept found=$room/found
without=$room/without list=$room/list frozen=$room/frozen snapshots=$room/snapshots tar=$room/tar
mkdir "$view" "$masked"
for file in "$kept" "$without" "$list" "$frozen" "$snapshots" "$tar"; do : >"$file"; done

note() { echo "${note}$*" >&2; }
fail() { echo "$*" >&2; exit 1; }

freeze() {
  printf %s "$1" >"$frozen"
  why=$(fsfreeze --freeze "$view$1" 2>&1) || { : >"$frozen"; note "$1 is read while it changes: $why"; }
}

thaw() {
  [ -s "$frozen" ] || return 0
  fsfreeze --unfreeze "$view$(cat "$frozen")"
  : >"$frozen"
}

undo() {
  thaw
  [ -s "$snapshots" ] || return 0
  umount --lazy --recursive "$view" || :
  while IFS= read -r made; do
    btrfs subvolume delete "$made" >/dev/null || :
  done <"$snapshots"
  : >"$snapshots"
}

# Reads what says that we live; then does what the main process may not be able to do any more.
watch() {
  trap '' HUP INT TERM PIPE
  while [ -n "$(timeout ${silence} head -c 1 <&3)" ]; do :; done
  [ ! -s "$tar" ] || kill -KILL "$(cat "$tar")" || :
  kill -TERM $$ || :
  for turn in 1 2 3 4 5; do
    kill -0 $$ || break
    sleep 1
  done
  undo
}
watch >/dev/null 2>&1 &
watcher=$!
trap 'status=$?; trap - EXIT; undo; kill -KILL $watcher; exit $status' EXIT
trap 'exit 1' HUP INT TERM PIPE

# What is mounted at one place, in the same place of the view.
show() {
  mount --bind "$1" "$view\${1%/}"
  mount -o remount,bind,ro "$view\${1%/}"
}

# A mounted subvolume of btrfs, and those that lie in it: its path in the file system, its place, the places of all that is shown.
snapshot() {
  root=\${1%/} place=$2
  shift 2
  show "$place"
  command -v btrfs >/dev/null || { note "$place is read while it changes: btrfs is not installed there"; return 0; }
  base=\${place%/}
  for old in "$base"/.tetherfs-capture-*; do
    pid=$(expr "$old" : '.*/.tetherfs-capture-\([0-9]*\)-[0-9]*$') || continue
    kill -0 "$pid" 2>/dev/null || btrfs subvolume delete "$old" >/dev/null || :
  done
  snapshot_one "$place" 0
  number=0
  btrfs subvolume list -a "$place" | sed 's/^ID [0-9]* gen [0-9]* top level [0-9]* path //; s|^<FS_TREE>/||' >"$found"
  while IFS= read -r path; do
    case /$path in
      */.tetherfs-capture-*|*/.snapshots/*) continue ;;
      "$root"/*) ;;
      *) continue ;;
    esac
    path=/$path
    path=$base\${path#"$root"}
    [ -d "$path" ] || continue
    for shown; do [ "$shown" != "$path" ] || continue 2; done
    number=$((number + 1))
    snapshot_one "$path" $number
  done <"$found"
}

snapshot_one() {
  made=$base/.tetherfs-capture-$$-$2
  if why=$(btrfs subvolume snapshot -r "$1" "$made" 2>&1); then
    echo "$made" >>"$snapshots"
    mount --bind "$made" "$view\${1%/}"
  else
    note "$1 is read while it changes: $why"
    [ "$2" = 0 ] || mount --bind "$1" "$view$1"
  fi
}

# Regular files, by the names that links lead to, as the machine sees them.
matching() {
  chroot "$view" /bin/sh -c '
    IFS=
    for pattern; do
      for file in $pattern; do
        [ -f "$file" ] && [ -s "$file" ] || continue
        real=$(realpath -e "$file")
        [ "\${real##*/}" != "\${file##*/}" ] || printf "%s\n" "$real"
      done
    done' sh "$@"
}

keep() {
  matching "$1" >"$found"
  [ -s "$found" ] || fail "--keep $1: there is no such file there, or it is empty"
  cat "$found" >>"$kept"
}

leave_out() { echo ".$1" >>"$without"; }

has_line() { grep -qxF -- "$1" "$2"; }

# Number of the rule, what becomes of such a file, what it must hold for that, patterns.
rule() {
  number=$1 becomes=$2 holds=$3
  shift 3
  matching "$@" >"$found"
  while IFS= read -r path; do
    [ -f "$view$path" ] || fail "a name below $path holds a line feed: rename that file there"
    copy=$masked$path
    ! has_line "$path" "$kept" || continue
    large=
    if ! has_line ".$path" "$without"; then
      echo ".$path" >>"$without"
      mkdir -p "\${copy%/*}"
      # What is larger is emptied, whatever it holds.
      [ "$(stat -c %s "$view$path")" -le ${largestText} ] || large=--attributes-only
      cp -a $large "$view$path" "$copy"
    fi
    if [ -z "$large" ]; then
      # Else an earlier rule has seen to it.
      [ -s "$copy" ] || continue
      status=0
      [ -z "$holds" ] || grep -qaiE -e "$holds" "$copy" || status=$?
      [ $status -le 1 ] || exit $status
      [ $status = 0 ] || continue
      case $becomes in
        'without hashes') sed -E "$without_hashes" "$copy" >"$room/becomes" ;;
        *) : >"$room/becomes" ;;
      esac
      cat "$room/becomes" >"$copy"
      touch -r "$view$path" "$copy"
    fi
    [ "$becomes" != nothing ] || rm "$copy"
    [ "$(stat -c %h "$view$path")" = 1 ] || fail "$path has another name there, by which it would be captured: remove that, or say --keep $path"
    echo "${masked}$number $path" >&2
  done <"$found"
}
without_hashes=${quoted(withoutHashes)}

# Status 1: files changed meanwhile.
archive() {
  tar --create --format=posix --xattrs --xattrs-include='*' --numeric-owner --sparse "$@" &
  echo $! >"$tar"
  status=0
  wait $! || status=$?
  : >"$tar"
  [ $status -le 1 ] || exit $status
}

# A file system, and what of it is not sent.
send() {
  at=.\${1%/}
  shift
  archive --directory="$view" --wildcards --no-anchored --exclude='.tetherfs-capture-*' --anchored --no-wildcards --exclude-from="$without" \
    --wildcards --no-wildcards-match-slash "$@" -- "$at"
}

send_masked() {
  (cd "$masked" && find . -type f) >"$list"
  archive --directory="$masked" --no-recursion --verbatim-files-from --files-from="$list"
}
`.replaceAll('\\${', '${');
