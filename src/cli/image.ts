/** `tetherfs image`: making, examining and removing images. */
import { Command } from 'commander';
import { imageBuildCommand } from './image-build.ts';
import { imageCaptureCommand } from './image-capture.ts';
import { imageDiffCommand } from './image-diff.ts';
import { imageExecCommand } from './image-exec.ts';
import { imageGcCommand } from './image-gc.ts';
import { imageInfoCommand } from './image-info.ts';
import { imageListCommand } from './image-list.ts';
import { imagePackCommand } from './image-pack.ts';
import { imagePrepareCommand } from './image-prepare.ts';
import { imagePublishCommand } from './image-publish.ts';
import { imageRmCommand } from './image-rm.ts';
import { imageUnpackCommand } from './image-unpack.ts';
import { imageVerifyCommand } from './image-verify.ts';

export function imageCommand(): Command {
  return new Command('image')
    .enablePositionalOptions()
    .description('make, examine and remove images')
    .addCommand(imageBuildCommand())
    .addCommand(imagePrepareCommand())
    .addCommand(imageExecCommand())
    .addCommand(imagePackCommand())
    .addCommand(imageCaptureCommand())
    .addCommand(imageListCommand())
    .addCommand(imageInfoCommand())
    .addCommand(imageVerifyCommand())
    .addCommand(imageUnpackCommand())
    .addCommand(imageDiffCommand())
    .addCommand(imagePublishCommand())
    .addCommand(imageGcCommand())
    .addCommand(imageRmCommand())
    .addHelpText(
      'after',
      `
Examples:
  tetherfs image build -y --distro debian-12 /srv/trees/demo
  tetherfs image pack /srv/trees/demo /var/lib/confluent/public/os/demo
  tetherfs image capture root@n1 demo
  tetherfs image list
  tetherfs image info --key-file /var/lib/confluent/private/os/demo/pending/rootimg.key \\
      /var/lib/confluent/public/os/demo/rootimg.sfs
  tetherfs image info http://10.0.0.1/confluent-public/os/demo/rootimg.sfs
  tetherfs image verify --digest sha256:1f0c… http://10.0.0.2/confluent-public/os/demo/rootimg.sfs
  tetherfs image exec /srv/trees/demo apt-get install --yes slurmd
  tetherfs image unpack demo /srv/trees/demo
  tetherfs image diff demo /srv/trees/demo
  tetherfs image publish demo --to root@10.0.0.2 root@10.0.0.3
  tetherfs image gc --dry-run --access-log /var/log/nginx/access.log /var/lib/confluent/public/os/demo`,
    );
}
