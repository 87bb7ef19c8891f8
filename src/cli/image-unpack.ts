/** `tetherfs image unpack`: an image becomes a directory again. */
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { parseDigest } from '../image/digest.ts';
import { loadBinding } from '../native/binding.ts';
import { caDirOption, caFileOption } from './image-options.ts';
import { interruption } from './interruption.ts';
import { progressBar } from './progress-bar.ts';

interface UnpackFlags {
  digest?: string;
  keyFile?: string;
  privateDir?: string;
  tree?: string;
  caFile?: string;
  caDir?: string;
  allowUnverified: boolean;
  xattrs: boolean;
}

export function imageUnpackCommand(): Command {
  return new Command('unpack')
    .description('make a directory of an image again, encrypted or not, of this machine or from members')
    .usage('[options] <image...> <dir>')
    .argument(
      '<image...>',
      "a profile's name or directory, a file, or URLs of one image at several members; then DIR: an empty directory, or none yet",
    )
    .option('--digest <sha256:hex>', 'the digest that it must have (default: believe the sidecar beside the image)')
    .option('--key-file <file>', "its key (default: the profile's, in the private tree beside the public one)")
    .option('--private-dir <dir>', "the one that was given to 'image pack', if any")
    .option('--tree <dir>', "confluent's tree (default: /var/lib/confluent)")
    .addOption(caFileOption())
    .addOption(caDirOption())
    .option('--allow-unverified', 'take bytes that come over http: without a digest', false)
    .option('--no-xattrs', 'leave extended attributes and capabilities away, for file systems that hold none')
    .addHelpText(
      'after',
      `
Every byte is checked against the digest, decrypted, and unpacked by unsquashfs beside DIR; the tree takes its place when all of it is there. A run that
ends early, in whatever way, leaves nothing that the next one trips over. Meanwhile the file system of DIR needs room for the image in clear as well: in a
file without a name.

Owners, rights, times, extended attributes, capabilities, hard links, devices, sockets and holes in files are those of the tree that was packed. A
capture of several file systems becomes one tree.

Exit status: 0 done, 1 not: DIR is as it was; 2 wrong usage.

Examples:
  tetherfs image unpack demo /srv/trees/demo
  tetherfs image unpack --key-file rootimg.key rootimg.sfs /srv/trees/demo
  tetherfs image unpack --digest sha256:1f0c… --key-file rootimg.key http://10.0.0.1/confluent-public/os/demo/rootimg.sfs \\
      http://10.0.0.2/confluent-public/os/demo/rootimg.sfs /srv/trees/demo`,
    )
    .action(async (words: string[], flags: UnpackFlags) => {
      const images = words.slice(0, -1);
      const directory = words.at(-1);
      if (directory === undefined || images.length === 0)
        throw new UsageError('name the image, and the directory that it is unpacked into');
      const { openToUnpack } = await import('../imgutil/unpack-source.ts');
      const { insistOnRoot, unpack } = await import('../imgutil/unpack.ts');
      const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
      const signal = interruption();
      const checking = progressBar('checking');
      const unpacking = progressBar('unpacking');
      const clear = () => {
        checking.clear();
        unpacking.clear();
      };
      const digest = flags.digest === undefined ? undefined : parseDigest(flags.digest);
      insistOnRoot();
      const keyFiles = flags.keyFile === undefined ? undefined : [flags.keyFile];
      await using image = await openToUnpack(images, { ...flags, keyFiles, digest, onTrouble: say });
      const unpacked = await unpack(image, {
        directory,
        xts: (...call) => loadBinding().xts(...call),
        xattrs: flags.xattrs,
        onLeftover: (path) => say(`removed what a killed unpack had left: ${path}`),
        onChecked(bytes, totalBytes) {
          checking.update({ bytes, totalBytes });
          if (bytes === totalBytes) checking.clear();
        },
        onUnpacked: (bytes, totalBytes) => unpacking.update({ bytes, totalBytes }),
        signal,
      }).finally(clear);
      const parts = unpacked.mountPoints.length > 1 ? `, of ${unpacked.mountPoints.join(', ')}` : '';
      const believed = digest === undefined ? ' (believing the sidecar: no --digest was given)' : '';
      const trust =
        unpacked.digest === undefined
          ? 'not verified: there is no sidecar beside the image, and no --digest was given'
          : `${unpacked.digest}${believed}`;
      process.stdout.write(`tree     ${unpacked.directory}${parts}\ndigest   ${trust}\n`);
    });
}
