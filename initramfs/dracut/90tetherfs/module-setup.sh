#!/bin/bash
# What a diskless node boots with (root=tetherfs:). Part of tetherfs; see docs/node.md there.

# Only where it is asked for, by dracut.conf.d/tetherfs.conf.
check() {
  require_binaries mkfs.xfs dmsetup losetup modprobe ip || return 1
  return 255
}

depends() {
  echo base network
}

installkernel() {
  hostonly='' instmods fuse loop squashfs overlay zram xfs dm_crypt xts aesni_intel aes_ce_blk aes_arm64
  hostonly='' instmods af_packet ipv6 virtio_pci virtio_mmio virtio_net virtio_rng =drivers/net/ethernet =drivers/net/phy
  hostonly='' instmods atkbd i8042 usbhid hid_generic xhci_pci ehci_pci uhci_hcd
  hostonly='' instmods tpm_tis tpm_crb ib_ipoib ib_umad hfi1 mlx4_ib mlx5_ib ipmi_si ipmi_devintf
}

install() {
  local file
  inst_multiple mkfs.xfs dmsetup losetup mount modprobe ip date
  inst_multiple -o unsquashfs
  # Where it is: a node's key is kept by its TPM. The library is opened by name.
  inst_multiple -o tpm2_{createprimary,create,evictcontrol,flushcontext,getcap,load,pcrextend,pcrread,policypcr,readpublic,startauthsession,unseal}
  inst_libdir_file -o 'libtss2-tcti-device.so*'
  for file in /usr/lib/tetherfs/{runtime.sfs,with-runtime,boot}; do
    inst_simple "$file" || dfatal "$file is missing: run tetherfs image prepare"
  done
  inst_multiple -o /etc/tetherfs/boot.yaml /etc/tetherfs/ca.pem
  # What boot.yaml names is to be there, too.
  # shellcheck disable=SC2154 # dracut's
  if [[ -e $dracutsysrootdir/etc/tetherfs/boot.yaml ]]; then
    while read -r file; do
      inst_simple "$file" || dfatal "$file is missing, which /etc/tetherfs/boot.yaml names"
    done < <(sed -n 's/^\(ca-file\|insecure-key-file\|api\): *//p' "$dracutsysrootdir/etc/tetherfs/boot.yaml" | sed 's/ #.*//; s/ *$//' | tr -d "\"'" | grep ^/)
  fi
  # shellcheck disable=SC2154 # dracut's
  inst_hook cmdline 90 "$moddir/parse-tetherfs.sh"
  # shellcheck disable=SC2154
  inst_hook mount 90 "$moddir/mount-tetherfs.sh"
}
