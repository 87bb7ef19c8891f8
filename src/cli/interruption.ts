/** @returns a signal that is aborted when whoever called wants no more of it: SIGINT, SIGTERM. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
