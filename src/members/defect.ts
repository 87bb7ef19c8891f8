/** A defect of ours, found where it must not end what is going on: it is thrown all the same, where nobody catches it. */
export function throwUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
