/** `tetherfs image info`: what an image is. */
import { Command } from 'commander';
import { imageInfo } from '../imgutil/image-info.ts';
import { openImage, readKeyFile } from '../imgutil/image-location.ts';
import { formatImageInfo } from '../imgutil/image-report.ts';
import { loadBinding } from '../native/binding.ts';
import { blockSizeOption, caFileOption } from './image-options.ts';

interface InfoFlags {
  json: boolean;
  keyFile?: string;
  digest: boolean;
  blockSize: number;
  caFile?: string;
}

export function imageInfoCommand(): Command {
  return new Command('info')
    .description('show format, sizes, digest and content of an image')
    .argument('<file-or-url>')
    .option('--json', 'for programs', false)
    .option('--key-file <file>', 'key of an encrypted image: shows what it holds')
    .option('--digest', 'compute the digest when there is no sidecar beside the image (reads all of it)', false)
    .addOption(blockSizeOption())
    .addOption(caFileOption())
    .action(async (location: string, flags: InfoFlags) => {
      const key = flags.keyFile === undefined ? undefined : await readKeyFile(flags.keyFile);
      await using image = await openImage(location, { caFile: flags.caFile });
      const info = await imageInfo(image, {
        key,
        xts: (...call) => loadBinding().xts(...call),
        computeBlockSize: flags.digest ? flags.blockSize : undefined,
      });
      process.stdout.write(
        flags.json ? `${JSON.stringify({ location, ...info }, null, 2)}\n` : formatImageInfo(location, info),
      );
      if (info.problems.length > 0) process.exitCode = 1;
    });
}
