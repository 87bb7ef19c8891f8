#!/bin/sh
# Mounts the root file system on $NEWROOT.

# shellcheck disable=SC2154 # dracut's
case $root in
  tetherfs:*)
    /usr/lib/tetherfs/boot "$NEWROOT" || die "tetherfs: this machine has no root file system (above: why)"
    ;;
esac
