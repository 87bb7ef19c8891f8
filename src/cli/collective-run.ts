/** `tetherfs collective run`. */
import { isIP } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../base/errors.ts';
import { createLog, logFormats, logLevels } from '../base/log.ts';
import { defaultPlaces } from '../collective/places.ts';
import { stderrSink } from '../mount/log-sink.ts';
import { stateCommand } from './collective-options.ts';
import { collect } from './repeated-option.ts';

interface Flags {
  state: string;
  tree: string;
  scratch: string;
  name?: string;
  alias: string[];
  listen: string[];
  httpsPort: number;
  httpPort: number;
  socket?: string;
  socketGroup?: string;
  grants: boolean;
  discovery: boolean;
  user: string;
  metrics?: string;
  logLevel: (typeof logLevels)[number];
  logFormat: (typeof logFormats)[number];
}

export function runCommand(): Command {
  return stateCommand('run')
    .description('be a member: make what is not there, and serve')
    .option('--tree <directory>', 'where images and their keys are', defaultPlaces.tree)
    .option('--scratch <directory>', 'in memory: what external programs read from files', defaultPlaces.scratch)
    .option('--name <name>', "the member's name (default: that of the machine)")
    .option('--alias <name>', 'another name by which it is called, for its certificate; may be said again', collect, [])
    .option('--listen <address>', 'listen there instead of everywhere; may be said again', listenAddress, [])
    .option('--https-port <port>', 'the API and the public part; 0: not', port, 443)
    .option('--http-port <port>', 'the public part alone; 0: not', port, 80)
    .option('--socket <path>', 'a Unix socket for a proxy before us, instead of both; its X-Forwarded-* are believed')
    .option('--socket-group <group>', 'may connect to it, and nobody else: that of the proxy (default: everybody may)')
    .option('--no-grants', 'give no keys (port 13001)')
    .option('--no-discovery', 'do not answer nodes that look for members (port 1900)')
    .option('--user <name>', 'whom root becomes, made when he is not there', 'tetherfs')
    .option('--metrics <address>', 'serve Prometheus metrics on ADDRESS:PORT or unix:/PATH')
    .addOption(new Option('--log-level <level>').choices(logLevels).default('info'))
    .addOption(new Option('--log-format <format>').choices(logFormats).default('text'))
    .addHelpText(
      'after',
      `
Started by root it makes its directories and its user, binds its ports, and goes on as that user. Ends on SIGTERM and SIGINT.

Examples:
  tetherfs collective run
  tetherfs collective run --socket /run/tetherfs-api/api.sock --socket-group www-data       behind nginx or Apache: docs/collective.md`,
    )
    .action(async (flags: Flags) => {
      const { state, tree, scratch } = flags;
      const places = { state, tree, scratch };
      const isHttp = flags.socket !== undefined || flags.httpsPort !== 0 || flags.httpPort !== 0;
      if (!isHttp && !flags.grants && !flags.discovery)
        throw new UsageError('with all of that left out there is nothing to serve');
      const { groupNamed, prepareToLeaveRoot } = await import('../collective/leave-root.ts');
      const leaveRoot = await prepareToLeaveRoot(places, flags.user);
      const { notifyServiceManager } = (await import('../native/binding.ts')).loadBinding();
      const { startMember } = await import('../collective/run.ts');
      const log = createLog({ level: flags.logLevel, format: flags.logFormat, sink: stderrSink() });
      const member = await startMember({
        options: {
          places,
          name: flags.name,
          names: flags.alias,
          addresses: flags.listen,
          httpsPort: flags.httpsPort,
          httpPort: flags.httpPort,
          socket: flags.socket,
          socketGroup: flags.socketGroup === undefined ? undefined : await groupNamed(flags.socketGroup),
          grants: flags.grants,
          discovery: flags.discovery,
          metrics: flags.metrics,
        },
        log,
        leaveRoot,
      });
      for (const line of member.summary) process.stdout.write(`${line}\n`);
      notifyServiceManager('READY=1');
      await new Promise<void>((resolve) => {
        for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve());
      });
      notifyServiceManager('STOPPING=1');
      await member.close();
    });
}

function listenAddress(text: string, before: string[]): string[] {
  if (isIP(text) === 0) throw new InvalidArgumentError('Give an address of this machine, without a port.');
  return collect(text, before);
}

function port(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) throw new InvalidArgumentError('Give a port, e.g. 443; 0 for none.');
  return value;
}
