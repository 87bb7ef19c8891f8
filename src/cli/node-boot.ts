/** `tetherfs node boot`: from an initramfs to a root file system. */
import { Command } from 'commander';
import { interruption } from './interruption.ts';

export function nodeBootCommand(): Command {
  return new Command('boot')
    .description('make the root file system of a diskless node: called by its initramfs')
    .argument('<root>', 'directory to mount it on, e.g. /sysroot')
    .addHelpText(
      'after',
      `
What to boot from is said on the kernel command line, or by the same names (without "tetherfs.") in /etc/tetherfs/boot.yaml in the initramfs:
  tetherfs.api=discover|ADDRESS[,…]|FILE
                                        who grants this node's key, and says all of the following but zram
  tetherfs.node=NAME                    what it is called there, where they do not know it
  tetherfs.tpm.pcrs=NUMBER[,…]          what the key is sealed by in its TPM, besides PCR 15
  tetherfs.members=URL[,URL…]           the image on each member
  tetherfs.digest=sha256:HEX            what it must be; may be absent where all members are https://
  tetherfs.ca-file=FILE                 authorities of https:// members, a file of the initramfs
  tetherfs.zram=SIZE[,algorithm=NAME][,limit=SIZE]
                                        the writable layer, before compression: 50% (of RAM), 8GiB
  tetherfs.decryption=auto|dm-crypt|tetherfs
  tetherfs.insecure-key-file=FILE       key of the image, a file of the initramfs: for trials
and confluent_imagemethod=tethered|untethered|progressive|uncompressed, on the command line alone. docs/node.md tells more of each.

Tries again, for ever, what a second try may mend; ends with 1 when it cannot be, with 2 when a setting makes no sense.`,
    )
    .action(async (root: string) => {
      const { boot, settingsOfMachine } = await import('../node/boot.ts');
      const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
      await boot({ settings: settingsOfMachine, root, console: { say }, signal: interruption() });
    });
}
