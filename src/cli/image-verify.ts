/** `tetherfs image verify`: checks every byte of an image. */
import { Command } from 'commander';
import { describeRange } from '../base/byte-range.ts';
import { parseDigest } from '../image/digest.ts';
import { WrongBlocksError } from '../imgutil/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { blockSizeOption, caDirOption, caFileOption } from './image-options.ts';
import { progressBar } from './progress-bar.ts';

interface VerifyFlags {
  digest?: string;
  keyFile?: string;
  blockSize: number;
  caFile?: string;
  caDir?: string;
}

export function imageVerifyCommand(): Command {
  return new Command('verify')
    .description('check every block of an image against its digest')
    .argument('<file-or-url>')
    .option('--digest <sha256:hex>', 'the digest that it must have (default: believe the sidecar beside the image)')
    .option('--key-file <file>', 'key that must open the image')
    .addOption(blockSizeOption())
    .addOption(caFileOption())
    .addOption(caDirOption())
    .addHelpText(
      'after',
      `
Exit status: 0 all is right, 1 something is wrong, 2 wrong usage. --block-size is for images without a sidecar.

Examples:
  tetherfs image verify /var/lib/confluent/public/os/demo/rootimg.sfs
  tetherfs image verify --digest sha256:1f0c… http://10.0.0.2/confluent-public/os/demo/rootimg.sfs`,
    )
    .action(async (location: string, flags: VerifyFlags) => {
      const { openImage, readKeyFile } = await import('../imgutil/image-location.ts');
      const { verifyImage } = await import('../imgutil/image-verify.ts');
      const digest = flags.digest === undefined ? undefined : parseDigest(flags.digest);
      const key = flags.keyFile === undefined ? undefined : await readKeyFile(flags.keyFile);
      await using image = await openImage(location, flags, digest);
      const progress = progressBar('checking');
      const result = await verifyImage(image, {
        digest,
        blockSize: flags.blockSize,
        key,
        xts: (...call) => loadBinding().xts(...call),
        onWrongBlock(block) {
          progress.clear();
          process.stdout.write(`wrong block at ${describeRange(block)}\n`);
        },
        onProgress: (bytes, totalBytes) => progress.update({ bytes, totalBytes }),
      }).finally(progress.clear);
      if (result.wrongBlocks > 0) throw new WrongBlocksError(image.name, result.wrongBlocks);
      const trust = digest === undefined ? ' (believing the sidecar: no --digest was given)' : '';
      process.stdout.write(`${image.name}: all ${result.imageSize} bytes are right${trust}\n${result.digest}\n`);
    });
}
