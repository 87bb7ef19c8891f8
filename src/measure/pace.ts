import { setTimeout as sleep } from 'node:timers/promises';

/** The pause that keeps what was asked for since `began` (ms, of performance.now) within `rate`, in bytes a second on average; null: none. Ends with `signal`. */
export async function keepRate(rate: number | null, bytes: number, began: number, signal: AbortSignal): Promise<void> {
  const pauseMs = rate === null ? 0 : began + (bytes * 1_000) / rate - performance.now();
  if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => {});
}
