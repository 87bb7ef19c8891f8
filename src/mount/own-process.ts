/**
 * What must not be done in the daemon itself, done by a process of its own: whatever opens a file of our own mount. A daemon that is
 * killed while it has one open cannot end, because the kernel waits for its answer when it closes that file.
 */
import { text } from 'node:stream/consumers';
import { nodeWords, spawnClean } from './clean-child.ts';

/**
 * Runs our Node.js with these arguments, in `/`.
 * @param signal kills it. @returns why it failed, undefined when it did not: what it wrote to standard error.
 */
export async function failureOfProcess(words: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
  const child = spawnClean(nodeWords(words), { stdio: ['ignore', 'ignore', 'pipe'] });
  const kill = () => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  if (signal?.aborted) kill();
  const exit = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  const [said, status] = await Promise.all([child.stderr === null ? '' : text(child.stderr), exit]);
  signal?.removeEventListener('abort', kill);
  return status === 0 ? undefined : said.trim() || 'killed';
}
