/** `tetherfs image prepare`: a tree whose initramfs boots a diskless node. */
import { Command } from 'commander';

export function imagePrepareCommand(): Command {
  return new Command('prepare')
    .description('have the initramfs of a root filesystem boot a diskless node')
    .argument('<dir>', 'tree of the root filesystem')
    .option('--runtime <file>', 'squashfs of the runtime (default: build/runtime.sfs of the checkout)')
    .addHelpText(
      'after',
      `
Puts the runtime and a hook of initramfs-tools or dracut into the tree. Then have the distribution make its initramfs, in the tree:
  chroot DIR update-initramfs -u -k all                      (initramfs-tools)
  chroot DIR dracut --force --regenerate-all                 (dracut)
and pack it: tetherfs image pack DIR PROFILE_DIR.`,
    )
    .action(async (directory: string, { runtime }: { runtime?: string }) => {
      const { prepareTree } = await import('../imgutil/prepare.ts');
      const { files, tools, missing } = await prepareTree(directory, runtime);
      process.stdout.write(`prepared for ${tools.join(' and ')}:\n${files.map((file) => `  ${file}\n`).join('')}`);
      for (const { program, package: bringer } of missing) {
        process.stderr.write(
          `tetherfs: the tree has no ${program}, which a node boots with: install ${bringer} in it\n`,
        );
      }
      if (missing.length > 0) process.exitCode = 1;
    });
}
