/**
 * The end of a test, whatever became of it: when it failed, what it left open is closed, so that the next finds the machine as it should be. What a
 * clean-up finds wrong is said after the test, unless the test failed already: the first failure is the one to read.
 */
import { afterAll, afterEach, beforeEach } from 'vitest';
import { closed, complain, everythingOpen, takeComplaints } from './teardown.ts';

/** For vitest's set-up file: called once a test file. */
export function watchTeardown(): void {
  let before: Set<AsyncDisposable | Disposable>;
  beforeEach(() => {
    before = new Set(everythingOpen());
  });
  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail';
    if (failed) await disposeOf(everythingOpen().filter((thing) => !before.has(thing)));
    report(failed);
  });
  afterAll(async () => {
    await disposeOf(everythingOpen());
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
  const words = takeComplaints();
  if (words !== '' && !failed) throw new Error(words);
}
