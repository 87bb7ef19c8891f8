#!/bin/sh
# Tells dracut that root=tetherfs: is no device to wait for, and needs the network.

[ -n "$root" ] || root=$(getarg root=)
case $root in
  tetherfs:*)
    # shellcheck disable=SC2034 # dracut's
    rootok=1
    echo rd.neednet=1 >/etc/cmdline.d/90-tetherfs.conf
    ;;
esac
