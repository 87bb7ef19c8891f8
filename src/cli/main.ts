/**
 * The command line: tetherfs COMMAND. What only one command needs is loaded by that command, so that the others start
 * quickly. Exit status: 0 done, 1 failed, 2 wrong usage; a failure is one line on standard error (docs/errors.md), with
 * its causes below it when TETHERFS_DEBUG is set.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { z } from 'zod';
import { describeError, errorCode, isSystemError, pathOf, TetherfsError } from '../base/errors.ts';
import { daemonCommand } from './daemon.ts';
import { imageCommand } from './image.ts';
import { mountCommand, urlmountCommand } from './mount.ts';
import { statusCommand } from './status.ts';
import { takeoverCommand } from './takeover.ts';
import { traceCommand } from './trace.ts';
import { unmountCommand } from './unmount.ts';
import { retetherCommand, untetherCommand } from './untether.ts';

const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')));

const program = new Command('tetherfs')
  .description(
    'root images for diskless nodes: mounts one image that several HTTP servers serve, verified, as a local file',
  )
  .version(version)
  .addCommand(mountCommand(version))
  .addCommand(statusCommand())
  .addCommand(unmountCommand())
  .addCommand(takeoverCommand())
  .addCommand(untetherCommand())
  .addCommand(retetherCommand())
  .addCommand(imageCommand())
  .addCommand(traceCommand())
  .addCommand(urlmountCommand(), { hidden: true })
  .addCommand(daemonCommand(version), { hidden: true });
exitByException(program);
// Whoever reads what we print may have seen enough.
process.stdout.on('error', (error) => {
  if (errorCode(error) !== 'EPIPE') throw error;
  process.exit(0);
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    const path = pathOf(error);
    process.stderr.write(`tetherfs: ${path === undefined ? '' : `${path}: `}${describeError(error)}\n`);
    const expected = error instanceof TetherfsError || isSystemError(error);
    if (process.env['TETHERFS_DEBUG'] || !expected) console.error(error);
    process.exitCode = error instanceof TetherfsError ? error.exitStatus : 1;
  }
}

/** Also says what is wrong as everything else is said. */
function exitByException(command: Command): void {
  command.exitOverride();
  command.configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, 'tetherfs: ').replace(/\n(?=.)/g, ' ')),
  });
  command.commands.forEach(exitByException);
}
