/** `tetherfs daemon`: what `tetherfs mount` starts in the background. Not for people. */
import { Command } from 'commander';
import { describeError, TetherfsError } from '../base/errors.ts';
import { createLog, type LogSink } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { awaitCaller, type Caller } from '../mount/background.ts';
import type { MemoryProgress } from '../mount/image-memory.ts';
import { kmsgSink } from '../mount/log-sink.ts';
import { progressLog } from '../mount/progress-log.ts';

export function daemonCommand(version: string): Command {
  return new Command('daemon').argument('<mountpoint>').action(async () => {
    const caller = await awaitCaller();
    const { logLevel, logFormat } = caller.options;
    const log = createLog({ level: logLevel, format: logFormat, sink: startupSink(caller) });
    try {
      const { runDaemon } = await import('../mount/run.ts');
      const logProgress = progressLog(log, systemTime);
      const onProgress = (progress: MemoryProgress) => {
        logProgress(progress);
        caller.say({ kind: 'progress', ...progress });
      };
      const { options } = caller;
      process.exitCode = await runDaemon({ options, version, log, onProgress }, () => caller.say({ kind: 'ready' }));
    } catch (error) {
      const { code, exitStatus } = error instanceof TetherfsError ? error : { code: 'DEFECT', exitStatus: 1 };
      caller.say({ kind: 'failed', code, message: describeError(error), exitStatus });
      process.exitCode = exitStatus;
      process.disconnect?.();
    }
  });
}

/** To the kernel log, and, while the caller still waits, what matters to it too. */
function startupSink(caller: Caller): LogSink {
  const kernel = kmsgSink() ?? (() => true);
  return (level, line) => {
    if (level === 'warn' || level === 'error') caller.say({ kind: 'log', line });
    return kernel(level, line);
  };
}
