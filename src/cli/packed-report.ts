/** What is said of an image that was packed. */
import { mountHint } from '../imgutil/mount-hint.ts';
import type { PackedImage } from '../imgutil/pack.ts';

/** @param outDir as it was given. @param report whether each file is named that is blank in it. */
export function reportPacked(packed: PackedImage, outDir: string, report: boolean): void {
  for (const path of packed.leftOut) process.stderr.write(`tetherfs: left out, because it is mounted there: ${path}\n`);
  for (const problem of packed.bootOrder.problems) process.stderr.write(`tetherfs: ${problem}\n`);
  for (const warning of packed.warnings) process.stderr.write(`tetherfs: mksquashfs: ${warning}\n`);
  process.stdout.write(`image    ${packed.imagePath}
link     ${packed.linkPath}
size     ${packed.imageSize} bytes
digest   ${packed.digest}
sidecar  ${packed.sidecarPath}
key      ${packed.keyPath ?? 'none: the image is not encrypted'}${packed.keyIsBeside ? `\nnote     the key lies beside ${outDir}: serve and copy that alone, not what is above` : ''}
order    ${orderLine(packed)}
${kernelLine(packed)}${packed.whyNotDiskless === undefined ? '' : `\nnote     ${packed.whyNotDiskless}`}
${blankedLines(packed, report)}
mount    ${mountHint(packed)}
`);
}

/** What nodes boot, from the profile. */
function kernelLine({ profile: { kernel, bootloaders } }: PackedImage): string {
  const loaders = bootloaders.length === 0 ? '' : `, ${bootloaders.length} files of bootloaders`;
  const useless = 'nodes cannot boot from this profile';
  if (kernel === undefined) return `kernel   none${loaders}: the tree has no kernel in /boot, so ${useless}`;
  if (kernel.initramfs !== undefined) return `kernel   ${kernel.version} and its initramfs${loaders}, in boot/`;
  return `kernel   none${loaders}: the tree has no initramfs for its ${kernel.version}, so ${useless}: let its update-initramfs or dracut make one`;
}

function blankedLines({ blanked }: PackedImage, report: boolean): string {
  if (blanked.length === 0) return 'blanked  nothing: the tree has nothing that each machine must have of its own';
  if (!report)
    return `blanked  ${blanked.length} files that each machine has of its own (--report names them, --keep keeps one)`;
  const lines = blanked.map(({ path, what, isLeftOut }) => `${isLeftOut ? 'left out' : 'blanked '} ${path} (${what})`);
  return lines.join('\n');
}

/** What became of the boot order. */
function orderLine({ bootOrder: { source, files } }: PackedImage): string {
  if (source === 'none') return 'none: publish the trace of a boot, or give --boot-order, for faster boots';
  return `${files} files first, as ${source.startsWith('sha256:') ? `${source} was booted` : `${source} says`}`;
}
