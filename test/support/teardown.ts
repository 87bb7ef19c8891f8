/**
 * What is open at the moment, and what was wrong with closing it. What a test starts is `opened` here, and `closed` when it is gone; what is still
 * open when a test has failed, or was given up while it waited, is closed for it (teardown-hooks.ts). Known to benches and the demo as well, so
 * nothing of vitest is here.
 */
const open = new Set<AsyncDisposable | Disposable>();
const complaints: string[] = [];

export function opened(thing: AsyncDisposable | Disposable): void {
  open.add(thing);
}

export function closed(thing: AsyncDisposable | Disposable): void {
  open.delete(thing);
}

export function everythingOpen(): (AsyncDisposable | Disposable)[] {
  return [...open];
}

/** Fails the test that is being cleaned up, if nothing else has. */
export function complain(words: string): void {
  complaints.push(words);
}

/** What was said since it was last asked. */
export function takeComplaints(): string {
  return complaints.splice(0).join('\n');
}
