/** Programs of the initramfs. */
import { TetherfsError } from '../base/errors.ts';
import { type ProgramOptions, runProgram } from '../base/program.ts';

export interface RunOptions extends Omit<ProgramOptions, 'missing'> {
  /** What brings the program, for whoever has to add it to the image. */
  package: string;
}

/** @returns what it printed. @throws TetherfsError PROGRAM with its first words when it fails, INITRAMFS when it is not there. */
export function run(program: string, words: readonly string[], options: RunOptions): Promise<string> {
  const missing = (cause: unknown) =>
    new TetherfsError(
      'INITRAMFS',
      `${program} is not in the initramfs: install ${options.package} in the image, and make its initramfs again`,
      { cause },
    );
  return runProgram(program, words, { ...options, missing });
}

/** Loads a kernel module. One that is built in, or is not there, is not told apart: what needs it says what it misses. */
export async function loadModule(name: string): Promise<void> {
  await run('modprobe', ['-q', name], { package: 'kmod' }).catch(() => {});
}
