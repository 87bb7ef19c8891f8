/** `tetherfs daemon`: what `tetherfs mount` and `takeover` start in the background, and the holder after a crash. Not for people. */
import { Command } from 'commander';
import { describeError, TetherfsError } from '../base/errors.ts';
import { createLog, type Log, type LogSink } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { awaitCaller, type Caller } from '../mount/background.ts';
import type { DaemonStart } from '../mount/daemon.ts';
import type { MemoryProgress } from '../mount/image-memory.ts';
import { kmsgSink } from '../mount/log-sink.ts';
import type { MountOptions } from '../mount/options.ts';
import { progressLog } from '../mount/progress-log.ts';
import { loadBinding } from '../native/binding.ts';

export function daemonCommand(version: string): Command {
  return new Command('daemon')
    .argument('<mountpoint>')
    .option('--take-over <socket>')
    .action(async (_mountpoint: string, { takeOver }: { takeOver?: string }) => {
      loadBinding().shedLimits();
      const { inheritFromDaemon, inheritFromManager } = await import('../mount/succession.ts');
      const inheritance = inheritFromManager();
      if (inheritance !== undefined) {
        // Restarted after a crash: nobody waits for us but the readers.
        process.exitCode = await run({ version, inheritance, options: inheritance.state.options });
        return;
      }
      const caller = await awaitCaller();
      try {
        if (takeOver !== undefined) {
          const predecessor = await inheritFromDaemon(takeOver);
          const { options } = predecessor.inheritance.state;
          process.exitCode = await run({ version, options, ...predecessor }, caller);
        } else if (caller.options !== undefined) {
          process.exitCode = await run({ version, options: caller.options }, caller);
        }
      } catch (error) {
        const { code, exitStatus } = error instanceof TetherfsError ? error : { code: 'DEFECT', exitStatus: 1 };
        caller.say({ kind: 'failed', code, message: describeError(error), exitStatus });
        process.exitCode = exitStatus;
        process.disconnect?.();
      }
    });
}

async function run(start: Omit<DaemonStart, 'log' | 'onProgress' | 'onMounting'>, caller?: Caller): Promise<number> {
  const { runDaemon } = await import('../mount/run.ts');
  const log = makeLog(start.options, caller);
  const logProgress = progressLog(log, systemTime);
  const onProgress = (progress: MemoryProgress) => {
    logProgress(progress);
    caller?.say({ kind: 'progress', ...progress });
  };
  return runDaemon({ ...start, log, onProgress }, () => caller?.say({ kind: 'ready' }));
}

function makeLog({ logLevel, logFormat }: MountOptions, caller: Caller | undefined): Log {
  return createLog({ level: logLevel, format: logFormat, sink: startupSink(caller) });
}

/** To the kernel log, and, while a caller still waits, what matters to it too. */
function startupSink(caller: Caller | undefined): LogSink {
  const kernel = kmsgSink() ?? (() => true);
  return (level, line) => {
    if (level === 'warn' || level === 'error') caller?.say({ kind: 'log', line });
    return kernel(level, line);
  };
}
