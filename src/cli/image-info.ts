/** `tetherfs image info`: what an image is. */
import { Command } from 'commander';
import { loadBinding } from '../native/binding.ts';
import { blockSizeOption, caDirOption, caFileOption } from './image-options.ts';

interface InfoFlags {
  json: boolean;
  keyFile?: string;
  digest: boolean;
  blockSize: number;
  caFile?: string;
  caDir?: string;
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
    .addOption(caDirOption())
    .addHelpText(
      'after',
      `
Examples:
  tetherfs image info /var/lib/confluent/public/os/demo/rootimg.sfs
  tetherfs image info --json --ca-file ca.pem https://10.0.0.1/confluent-public/os/demo/rootimg.sfs | jq .verity`,
    )
    .action(async (location: string, flags: InfoFlags) => {
      const { openImage, readKeyFile } = await import('../imgutil/image-location.ts');
      const { imageInfo } = await import('../imgutil/image-info.ts');
      const { formatImageInfo } = await import('../imgutil/image-report.ts');
      const key = flags.keyFile === undefined ? undefined : await readKeyFile(flags.keyFile);
      await using image = await openImage(location, flags);
      const info = await imageInfo(image, {
        key,
        xts: (...call) => loadBinding().xts(...call),
        computeBlockSize: flags.digest ? flags.blockSize : undefined,
      });
      process.stdout.write(
        flags.json
          ? `${JSON.stringify({ location: image.name, ...info }, null, 2)}\n`
          : formatImageInfo(image.name, info),
      );
      if (info.problems.length > 0) process.exitCode = 1;
    });
}
