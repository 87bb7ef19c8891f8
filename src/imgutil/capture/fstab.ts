/** fstab(5) of a machine, for machines that have no disks. */

const diskTypes = /^(ext[234]|xfs|btrfs|vfat|swap)$/;
const diskNames = /^(UUID|LABEL|PARTUUID|PARTLABEL|ID)=|^\/dev\//;

/** Lines of disks, which no other machine has, become comments, in the form by which confluent's installer finds them again: `#ORIGFSTAB#DEVICE# …`. */
export function withoutDisks(text: string): string {
  return text.replace(
    /^[ \t]*([^#\s]\S*)([ \t]+\S+[ \t]+(\S+).*)$/gm,
    (line, device: string, rest: string, type: string) =>
      diskTypes.test(type) || diskNames.test(device) ? `#ORIGFSTAB#${device}#${rest}` : line,
  );
}
