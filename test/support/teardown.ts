/**
 * The end of a test, whatever became of it. What a test starts is `opened` here and `closed` when it is gone; when a test fails, and above all when it
 * was given up while it still waited, what it left open is disposed of, so that the next test finds the machine as it should be. What a
 * clean-up finds wrong is said after the test, unless the test failed already: the first failure is the one to read.
 */
import { afterAll, afterEach, beforeEach } from 'vitest';

const open = new Set<AsyncDisposable | Disposable>();
const complaints: string[] = [];

export function opened(thing: AsyncDisposable | Disposable): void {
  open.add(thing);
}

export function closed(thing: AsyncDisposable | Disposable): void {
  open.delete(thing);
}

/** Fails the test that is being cleaned up, if nothing else has. */
export function complain(words: string): void {
  complaints.push(words);
}

/** For vitest's set-up file: called once a test file. */
export function watchTeardown(): void {
  let before: Set<AsyncDisposable | Disposable>;
  beforeEach(() => {
    before = new Set(open);
  });
  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail';
    if (failed) await disposeOf([...open].filter((thing) => !before.has(thing)));
    report(failed);
  });
  afterAll(async () => {
    await disposeOf([...open]);
    report(false);
  });
}

/** The last first. */
async function disposeOf(things: (AsyncDisposable | Disposable)[]): Promise<void> {
  for (const thing of things.reverse()) {
    try {
      if (Symbol.asyncDispose in thing) await thing[Symbol.asyncDispose]();
      else thing[Symbol.dispose]();
    } catch (error) {
      complain(String(error));
    }
    closed(thing);
  }
}

function report(failed: boolean): void {
  const words = complaints.splice(0).join('\n');
  if (words !== '' && !failed) throw new Error(words);
}
