/** `tetherfs image exec`: a command in the tree of an image. */
import { Command } from 'commander';
import { collect } from './repeated-option.ts';

interface ExecFlags {
  volume: string[];
}

export function imageExecCommand(): Command {
  return new Command('exec')
    .description('run a command in the tree of an image, as a container; a shell unless one is named')
    .argument('<dir>', 'the tree')
    .argument('[command...]')
    .option(
      '-v, --volume <src[:dst[:rw]]>',
      'show a file or directory of this machine there, read-only unless :rw says otherwise (may be repeated)',
      collect,
      [],
    )
    .passThroughOptions()
    .addHelpText(
      'after',
      `
The tree is the root of a container of its own: processes, host name and IPC are its alone, /proc, /dev, /run and /tmp are fresh and empty, /sys and
/proc/sys can be read. The network is this machine's, and its name servers are told there. No services are started by package scripts. Devices of the tree
cannot be opened, and programs with setuid gain nothing: whoever runs there is root as it is.

-v SRC is seen at /run/external/SRC, SRC:DST at DST, SRC:- at the same path.

Nothing is left when the command ends, Ctrl-C or kill -9 of tetherfs included: no process, no mount, and in the tree only what the command has done.

Exit status: the command's; 128 and more when a signal ended it. 1 or 2 after a line that begins with "tetherfs:" are ours.

Examples:
  tetherfs image exec /srv/trees/demo
  tetherfs image exec /srv/trees/demo apt-get install --yes slurmd
  tetherfs image exec -v /srv/packages:/mnt /srv/trees/demo sh -c 'dpkg --install /mnt/*.deb'`,
    )
    .action(async (directory: string, command: string[], flags: ExecFlags) => {
      const { execInTree, parseVolume } = await import('../imgutil/exec.ts');
      const volumes = flags.volume.map(parseVolume);
      const ending = new AbortController();
      process.on('SIGTERM', () => ending.abort());
      process.on('SIGHUP', () => ending.abort());
      process.on('SIGINT', () => {});
      process.exitCode = await execInTree({ directory, command, volumes, signal: ending.signal });
    });
}
