/** Trace files on disk: read whole and checked, written so that nobody ever sees half of one. */
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import { largestTraceSize } from '../image/trace.ts';
import { ImageSourceError } from './errors.ts';
import { exists, readSmallText } from './file-source.ts';
import { StagedFiles } from './staged-files.ts';

/** Not checked yet. @throws ImageSourceError when it cannot be read or is too large. */
export async function readTraceFile(path: string): Promise<string> {
  const text = await readSmallText(path, largestTraceSize);
  if (text === undefined) throw new ImageSourceError(`there is no file ${path}, nor a mount on it`);
  return text;
}

/** Readable for everybody. @throws UsageError when it exists and may not be replaced; TetherfsError TRACE_WRITE. */
export async function writeTraceFile(path: string, text: string, { replace }: { replace: boolean }): Promise<void> {
  if (!replace && (await exists(path))) throw new UsageError(`${path} exists: give --force to replace it`);
  const staged = new StagedFiles();
  try {
    await (await staged.create(path, 0o644)).appendFile(text, 'latin1');
    await staged.commit();
  } catch (cause) {
    throw traceWriteError(path, cause);
  } finally {
    await staged.discard();
  }
}

export function traceWriteError(path: string, cause: unknown): TetherfsError {
  return new TetherfsError('TRACE_WRITE', `cannot write ${path}: ${describeError(cause)}`, { cause });
}
