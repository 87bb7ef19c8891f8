/**
 * The command line: tetherfs COMMAND. What only one command needs is loaded by that command, so that the others start
 * quickly. Exit status: 0 done, 1 failed, 2 wrong usage; a failure is one line on standard error (docs/errors.md), with
 * its causes below it when TETHERFS_DEBUG is set.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { describeError, errorCode, isSystemError, pathOf, TetherfsError, UsageError } from '../base/errors.ts';
import { packageFile } from '../base/installation.ts';

interface Loader {
  load: (version: string) => Promise<Command>;
  /** Not for people. */
  hidden?: true;
  /** Exit status for a command line that makes no sense; 2 unless said otherwise. */
  wrongUsage?: number;
}

/** By name, in the order of the help. */
const commands: Readonly<Record<string, Loader>> = {
  mount: { load: async (version) => (await import('./mount.ts')).mountCommand(version) },
  status: { load: async () => (await import('./status.ts')).statusCommand() },
  unmount: { load: async () => (await import('./unmount.ts')).unmountCommand() },
  takeover: { load: async () => (await import('./takeover.ts')).takeoverCommand() },
  untether: { load: async () => (await import('./untether.ts')).untetherCommand() },
  retether: { load: async () => (await import('./untether.ts')).retetherCommand() },
  bench: { load: async (version) => (await import('./bench.ts')).benchCommand(version) },
  members: { load: async () => (await import('./members.ts')).membersCommand() },
  image: { load: async () => (await import('./image.ts')).imageCommand() },
  trace: { load: async () => (await import('./trace.ts')).traceCommand() },
  profile: { load: async () => (await import('./profile.ts')).profileCommand() },
  node: { load: async () => (await import('./node.ts')).nodeCommand() },
  collective: { load: async () => (await import('#collective')).collectiveCommand() },
  urlmount: { load: async () => (await import('./mount.ts')).urlmountCommand(), hidden: true },
  copernicus: {
    load: async () => (await import('./confluent-tools.ts')).copernicusCommand(),
    hidden: true,
    wrongUsage: 1,
  },
  clortho: { load: async () => (await import('./confluent-tools.ts')).clorthoCommand(), hidden: true, wrongUsage: 1 },
  imgutil: { load: async () => (await import('./imgutil.ts')).imgutilCommand(), hidden: true },
  'mount.tetherfs': {
    load: async () => (await import('./mount-helper.ts')).mountHelperCommand(),
    hidden: true,
    wrongUsage: 1,
  },
  daemon: { load: async (version) => (await import('./daemon.ts')).daemonCommand(version), hidden: true },
  'loop-mover': { load: async () => (await import('./loop-mover.ts')).loopMoverCommand(), hidden: true },
};

/** Of a command that waits for what cannot come any more: as Node has it for a module. */
const unfinished = 13;

async function main(): Promise<void> {
  const { version }: { version: string } = JSON.parse(readFileSync(packageFile, 'utf8'));
  const program = new Command('tetherfs')
    .description(
      'root images for diskless nodes: mounts one image that several HTTP servers serve, verified, as a local file',
    )
    .version(version)
    // Some end in another command, whose options are its own.
    .enablePositionalOptions();
  for (const { load, hidden = false } of wanted(process.argv[2])) program.addCommand(await load(version), { hidden });
  exitByException(program);
  // Whoever reads what we print may have seen enough.
  process.stdout.on('error', (error) => {
    process.exit(errorCode(error) === 'EPIPE' ? 0 : report(error));
  });
  process.exitCode = unfinished;
  try {
    insistOnGroup(program, process.argv[2]);
    await program.parseAsync();
    if (process.exitCode === unfinished) process.exitCode = 0;
  } catch (error) {
    if (error instanceof CommanderError)
      process.exitCode = error.exitCode === 0 ? 0 : (wanted(process.argv[2])[0]?.wrongUsage ?? 2);
    else process.exitCode = report(error);
  }
}

/** @throws UsageError for a command that people look for at the top, and that is one of a group's. */
function insistOnGroup(program: Command, name: string | undefined): void {
  const group = program.commands.find(({ commands: within }) => within.some((command) => command.name() === name));
  if (group !== undefined) throw new UsageError(`unknown command '${name}': it is tetherfs ${group.name()} ${name}`);
}

/** @returns the exit status. */
function report(error: unknown): number {
  const path = pathOf(error);
  process.stderr.write(`tetherfs: ${path === undefined ? '' : `${path}: `}${describeError(error)}\n`);
  const expected = error instanceof TetherfsError || isSystemError(error);
  if (process.env['TETHERFS_DEBUG'] || !expected) console.error(error);
  return error instanceof TetherfsError ? error.exitStatus : 1;
}

/** The one that is called; all of them for the help, or when there is no such command. */
function wanted(name = ''): Loader[] {
  const called = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (called !== undefined) return [called];
  return name === '--version' || name === '-V' ? [] : Object.values(commands);
}

/** Also says what is wrong as everything else is said. */
function exitByException(command: Command): void {
  command.exitOverride();
  command.configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, 'tetherfs: ').replace(/\n(?=.)/g, ' ')),
  });
  command.commands.forEach(exitByException);
}

void main();
