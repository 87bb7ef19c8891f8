/** fstab(5) of a machine, for machines that have no disks. */

/** What lies on a disk: no other machine has it. */
const onDisk = /^(ext[234]|xfs|btrfs|vfat|swap)$/;

/** Lines of disks become comments, in the form by which confluent's installer finds them again: `#ORIGFSTAB#DEVICE# …`. */
export function withoutDisks(text: string): string {
  return text.replace(
    /^[ \t]*([^#\s]\S*)([ \t]+\S+[ \t]+(\S+).*)$/gm,
    (line, device: string, rest: string, type: string) => (onDisk.test(type) ? `#ORIGFSTAB#${device}#${rest}` : line),
  );
}
