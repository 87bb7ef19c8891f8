/**
 * What nodes have read while they booted, posted by them: a few of each image are kept, and merged into one that `image pack` finds beside the image's key. So the next image is laid
 * out by what was learned from the last, without anybody copying a file. A hostile node costs some files of bounded size, and a worse order.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { TetherfsError } from '../base/errors.ts';
import { largestTraceSize, parseTrace } from '../image/trace.ts';
import { mergeTraces } from '../image/trace-merge.ts';
import type { Profiles } from './profiles.ts';

export interface PostedTrace {
  profile: string;
  /** Of the image. */
  hex: string;
  node: string;
  text: string;
}

/** Of one image: more say nothing new. */
const mostTraces = 8;

export class BootTraces {
  readonly #profiles: Profiles;
  readonly #inTurn = pLimit(1);

  constructor(profiles: Profiles) {
    this.#profiles = profiles;
  }

  /** @throws TetherfsError TRACE_INVALID, NO_PROFILE when the profile has no such image. */
  take(posted: PostedTrace): Promise<void> {
    return this.#inTurn(() => this.#take(posted));
  }

  async #take({ profile, hex, node, text }: PostedTrace): Promise<void> {
    if ((await this.#profiles.digest(profile)) !== hex) {
      throw new TetherfsError(
        'NO_PROFILE',
        'that is not the newest image of the profile: its boots teach nothing any more',
      );
    }
    if (text.length > largestTraceSize) throw new TetherfsError('TOO_LARGE', 'a trace is not that large');
    const trace = parseTrace(text);
    if (trace.digest !== `sha256:${hex}`) throw new TetherfsError('USAGE', 'the trace is of another image');
    const pending = join(this.#profiles.privateDirectory(profile), 'pending');
    const directory = join(pending, `traces-${hex}`);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await replace(join(directory, `${node}.trace`), text);
    const kept = await keepNewest(directory);
    const traces = await Promise.all(kept.map(async (path) => parseTrace(await readFile(path, 'utf8'))));
    await replace(join(pending, `rootimg-${hex}.trace`), mergeTraces(traces));
  }
}

/** @returns those that stay. */
async function keepNewest(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.trace'));
  const dated = await Promise.all(
    names.map(async (name) => ({ path: join(directory, name), at: (await stat(join(directory, name))).mtimeMs })),
  );
  const sorted = dated.sort((a, b) => b.at - a.at).map(({ path }) => path);
  for (const path of sorted.slice(mostTraces)) await rm(path);
  return sorted.slice(0, mostTraces);
}

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
