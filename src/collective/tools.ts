/** External programs of the member: each gets its secrets by standard input or by files of its own, never by words or environment. */
import { TetherfsError } from '../base/errors.ts';
import { type ProgramOptions, type RunProgram, runProgram } from '../base/program.ts';

export type RunTool = (
  program: string,
  words: readonly string[],
  options: Omit<ProgramOptions, 'missing' | 'env'> & { package: string },
) => Promise<string>;

/** Nothing of ours: the environment of a server may hold anything. */
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/nonexistent' };

/** @throws by the returned function: TetherfsError PROGRAM, TOOL when it is not installed. */
export function toolRunner(run: RunProgram = runProgram): RunTool {
  return (program, words, options) =>
    run(program, words, {
      ...options,
      env: environment,
      missing: (cause) =>
        new TetherfsError('TOOL', `${program} is missing: install it (Debian: apt-get install ${options.package})`, {
          cause,
        }),
    });
}
