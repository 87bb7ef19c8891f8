/** The bootloaders of a tree for UEFI, by the names that firmware and shim ask for. */
import { filesMatching } from '../base/tree-entry.ts';

export interface TreeBootloader {
  /** In the profile: `boot/efi/boot/BOOTX64.EFI`. */
  readonly name: string;
  /** In the tree, without links, one character a byte. */
  readonly path: string;
}

/** Where distributions keep them, the signed ones first. `*` below EFI is the vendor's directory. */
const candidates: Readonly<Record<string, readonly string[]>> = {
  'BOOTX64.EFI': [
    '/usr/lib/shim/shimx64.efi.signed',
    '/usr/lib/shim/shimx64.efi.signed.latest',
    '/boot/efi/EFI/*/shimx64.efi',
    '/usr/share/efi/x86_64/shim.efi',
    '/usr/lib/shim/shimx64.efi',
  ],
  'grubx64.efi': [
    '/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed',
    '/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed',
    '/boot/efi/EFI/*/grubx64.efi',
    '/usr/share/efi/x86_64/grub.efi',
  ],
  'mmx64.efi': [
    '/usr/lib/shim/mmx64.efi.signed',
    '/usr/lib/shim/mmx64.efi',
    '/boot/efi/EFI/*/mmx64.efi',
    '/usr/share/efi/x86_64/MokManager.efi',
  ],
  'BOOTAA64.EFI': [
    '/usr/lib/shim/shimaa64.efi.signed',
    '/usr/lib/shim/shimaa64.efi.signed.latest',
    '/boot/efi/EFI/*/shimaa64.efi',
    '/usr/share/efi/aarch64/shim.efi',
    '/usr/lib/shim/shimaa64.efi',
  ],
  'grubaa64.efi': [
    '/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed',
    '/usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed',
    '/boot/efi/EFI/*/grubaa64.efi',
    '/usr/share/efi/aarch64/grub.efi',
  ],
  'mmaa64.efi': [
    '/usr/lib/shim/mmaa64.efi.signed',
    '/usr/lib/shim/mmaa64.efi',
    '/boot/efi/EFI/*/mmaa64.efi',
    '/usr/share/efi/aarch64/MokManager.efi',
  ],
};

/** Asked for by the shim of some distributions. */
const otherName: Readonly<Record<string, string>> = { 'grubx64.efi': 'grub.efi', 'grubaa64.efi': 'grub.efi' };

/** @param tree its real path, one character a byte. */
export async function bootloaders(tree: string): Promise<TreeBootloader[]> {
  const found: TreeBootloader[] = [];
  for (const [name, patterns] of Object.entries(candidates)) {
    for (const pattern of patterns) {
      const [file] = await filesMatching(tree, pattern, true);
      if (file === undefined) continue;
      const names = [name, otherName[name]].filter((one) => one !== undefined);
      for (const one of names) {
        if (!found.some((before) => before.name.endsWith(`/${one}`)))
          found.push({ name: `boot/efi/boot/${one}`, path: file.path });
      }
      break;
    }
  }
  return found;
}
