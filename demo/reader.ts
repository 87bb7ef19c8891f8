/** The reading process: reads a whole tree, times its own reads, and says what it found. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { ReaderFigures } from './tree-manifest.ts';

export interface ReadTree {
  manifest: string;
  figures: ReaderFigures;
}

/** Disposing of it ends the process. */
export interface Reader extends AsyncDisposable {
  /** Rejects when a read failed. */
  readonly done: Promise<ReadTree>;
}

/** A process of its own, so that its waits are what any program would see. */
export function startReader(root: string): Reader {
  const script = fileURLToPath(new URL('tree-manifest.ts', import.meta.url));
  const child = spawn(process.execPath, [script, root], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  async function result(): Promise<ReadTree> {
    const [manifest, words, status] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (status !== 0) throw new Error(`reading the tree failed: ${words.trim().split('\n').at(-1)}`);
    return { manifest, figures: JSON.parse(words) as ReaderFigures };
  }
  const done = result();
  // Whoever gives up before it waits for the result wants to see why it gave up, not that the reader was killed.
  done.catch(() => {});
  return {
    done,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The first lines in which two manifests differ; empty when they are the same. */
export function manifestDifferences(expected: string, found: string): string[] {
  const [right, wrong] = [expected, found].map((manifest) => new Set(manifest.split('\n')));
  if (right === undefined || wrong === undefined) return [];
  return [
    ...[...right].filter((line) => !wrong.has(line)).map((line) => `expected ${line}`),
    ...[...wrong].filter((line) => !right.has(line)).map((line) => `found    ${line}`),
  ];
}
