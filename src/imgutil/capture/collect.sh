# shellcheck shell=sh
# What a machine that is captured runs. collector.ts puts in front what is not set here, and behind it what is to be done, by these functions.
# shellcheck disable=SC2154
set -eu
umask 077
exec 3<&0 </dev/null
mount -t tmpfs -o mode=0700 tetherfs "$room"
view=$room/view masked=$room/masked kept=$room/kept found=$room/found
without=$room/without seen=$room/seen contents=$room/contents list=$room/list frozen=$room/frozen snapshots=$room/snapshots tar=$room/tar
mkdir "$view" "$masked"
for file in "$kept" "$without" "$seen" "$contents" "$list" "$frozen" "$snapshots" "$tar"; do : >"$file"; done

note() { printf '%s%s\n' "$note_mark" "$*" >&2; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

freeze() {
  printf %s "$1" >"$frozen"
  why=$(fsfreeze --freeze "$view$1" 2>&1) || { : >"$frozen"; note "$1 is read while it changes: $why"; }
}

thaw() {
  [ -s "$frozen" ] || return 0
  fsfreeze --unfreeze "$view$(cat "$frozen")" || note "$(cat "$frozen") could not be thawed: was it already?"
  : >"$frozen"
}

undo() {
  thaw
  [ -s "$snapshots" ] || return 0
  umount --lazy --recursive "$view" || :
  while IFS= read -r made; do
    [ ! -d "$made" ] || btrfs subvolume delete "$made" >/dev/null || :
  done <"$snapshots"
  : >"$snapshots"
}

# Reads what says that we live; then does what the main process may not be able to do any more.
watch() {
  trap '' HUP INT TERM PIPE
  while [ -n "$(timeout "$silence" head -c 1 <&3)" ]; do :; done
  [ ! -s "$tar" ] || kill -KILL "$(cat "$tar")" || :
  kill -TERM $$ || :
  turns=5
  while [ $turns -gt 0 ] && kill -0 $$; do
    sleep 1
    turns=$((turns - 1))
  done
  undo
}
watch >/dev/null 2>&1 &
watcher=$!
trap 'status=$?; trap - EXIT; undo; kill -KILL $watcher; exit $status' EXIT
trap 'exit 1' HUP INT TERM PIPE

# What is mounted at one place, in the same place of the view.
show() {
  mount --bind "$1" "$view${1%/}"
  mount -o remount,bind,ro "$view${1%/}"
}

hide() { umount "$view${1%/}"; }

# A mounted subvolume of btrfs, and those that lie in it: its path in the file system, its place, and what of it is shown by itself.
snapshot() {
  root=${1%/} place=$2
  shift 2
  show "$place"
  command -v btrfs >/dev/null || { note "$place is read while it changes: btrfs is not installed there"; return 0; }
  base=${place%/}
  printf '%s\n' "$(pattern ".$base")/.tetherfs-capture-*" >>"$without"
  for old in "$base"/.tetherfs-capture-*; do
    pid=$(expr "$old" : '.*/.tetherfs-capture-\([0-9]*\)-[0-9]*$') || continue
    kill -0 "$pid" 2>/dev/null || btrfs subvolume delete "$old" >/dev/null || :
  done
  snapshot_one "$place" 0
  number=0
  btrfs subvolume list -a "$place" | sed 's/^ID [0-9]* gen [0-9]* top level [0-9]* path //; s|^<FS_TREE>/||' >"$found"
  while IFS= read -r path; do
    path=/$path
    case $path in
      "$root"/*) path=${path#"$root"} ;;
      *) continue ;;
    esac
    case $path in
      /.tetherfs-capture-*|*/.snapshots/*) continue ;;
    esac
    path=$base$path
    for shown; do [ "$shown" != "$path" ] || continue 2; done
    [ -d "$path" ] || { note "the subvolume at $path cannot be seen: it is not captured"; continue; }
    number=$((number + 1))
    snapshot_one "$path" $number
  done <"$found"
}

snapshot_one() {
  made=$base/.tetherfs-capture-$$-$2
  printf '%s\n' "$made" >>"$snapshots"
  if why=$(btrfs subvolume snapshot -r "$1" "$made" 2>&1); then
    mount --bind "$made" "$view${1%/}"
  else
    note "$1 is read while it changes: $why"
    [ "$2" = 0 ] || mount --bind "$1" "$view$1"
  fi
}

# Regular files, by the names that links lead to, as the machine sees them; of a person only what lies in that one's home.
matching() {
  # shellcheck disable=SC2016 # the inner shell's
  chroot "$view" /bin/sh -c '
    IFS=
    newline="
"
    for pattern; do
      for file in $pattern; do
        [ -f "$file" ] && [ -s "$file" ] || continue
        real=$(realpath -e "$file")
        case $file$real in
          *"$newline"*) printf "a name below %s holds a line feed: rename that there\n" "${pattern%/*}" >&2; exit 1 ;;
        esac
        [ "${real##*/}" = "${file##*/}" ] || continue
        case $file in
          /home/*/*)
            home=${file#/home/}
            home=$(realpath -e "/home/${home%%/*}")
            case $real in
              "$home"/*) ;;
              *) continue ;;
            esac ;;
        esac
        printf "%s\n" "$real"
      done
    done' sh "$@"
}

# Of a name, for --exclude-from: what it says, and nothing else.
pattern() { printf '%s\n' "$1" | sed 's/[][*?\\]/\\&/g; s/[[:space:]]$/[&]/'; }

# A directory of which nothing is sent; one that was asked for must be there.
contents() {
  # shellcheck disable=SC2016 # the inner shell's
  real=$(chroot "$view" /bin/sh -c '[ ! -d "$1" ] || { cd "$1" && pwd -P; }' sh "$1")
  if [ -z "$real" ]; then
    [ -z "${2-}" ] || fail "--without $1: there is no such directory there"
    return 0
  fi
  settle "$real"
  printf '%s\n' "$place" >>"$contents"
  printf '%s\n' "$(pattern ".$place")/*" >>"$without"
}

in_contents() {
  while IFS= read -r directory; do
    case $1 in
      "$directory"/*) return 0 ;;
    esac
  done <"$contents"
  return 1
}

# A path, and the same as a pattern.
keep() {
  matching "$2" >"$found"
  [ -s "$found" ] || fail "--keep $1: there is no such file there, or it is empty"
  while IFS= read -r path; do
    settle "$path"
    ! in_contents "$place" || fail "--keep $1: it lies in a directory of which nothing is captured"
    printf '%s\n' "$place" >>"$kept"
    printf '%s%s\n' "$kept_mark" "$place" >&2
  done <"$found"
}

leave_out() {
  settle "$1"
  pattern ".$place" >>"$without"
}

has_line() { grep -qxF -e "$1" "$2"; }

# Number of the rule, what becomes of such a file, what it must hold for that, patterns.
rule() {
  number=$1 becomes=$2 holds=$3
  shift 3
  matching "$@" >"$found"
  while IFS= read -r path; do
    settle "$path"
    path=$place
    copy=$masked$path
    if has_line "$path" "$kept" || in_contents "$path"; then continue; fi
    large=
    if ! has_line "$path" "$seen"; then
      printf '%s\n' "$path" >>"$seen"
      pattern ".$path" >>"$without"
      mkdir -p "${copy%/*}"
      # What is larger is emptied, whatever it holds.
      [ "$(stat -c %s "$view$path")" -le "$largest" ] || large=--attributes-only
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
    printf '%s%s %s\n' "$masked_mark" "$number" "$path" >&2
  done <"$found"
}

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
  at=.${1%/}
  shift
  archive --directory="$view" --anchored --wildcards --no-wildcards-match-slash --exclude-from="$without" "$@" -- "$at"
}

send_masked() {
  (cd "$masked" && find . -type f) >"$list"
  archive --directory="$masked" --no-recursion --verbatim-files-from --files-from="$list"
}
