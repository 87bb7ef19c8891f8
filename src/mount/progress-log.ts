/** Progress of a pull for where no terminal is: a line now and then. */
import type { Log } from '../base/log.ts';
import { formatSize } from '../base/size.ts';
import type { TimeSource } from '../base/time-source.ts';
import type { MemoryProgress } from './image-memory.ts';

/** Between two lines, in ms. */
const pauseMs = 5_000;

export function progressLog(log: Log, time: TimeSource): (progress: MemoryProgress) => void {
  let saidAt = time.now();
  let said = 0;
  return (progress) => {
    // What keeps it is said where it is known.
    if (time.now() - saidAt < pauseMs || progress.bytes === said) return;
    saidAt = time.now();
    said = progress.bytes;
    log.info(describeProgress(progress));
  };
}

/** `pulling the image: 52 %, 1.0 GiB of 2.0 GiB, 105.0 MiB/s, 9 s left`. */
export function describeProgress({ bytes, totalBytes, rate }: MemoryProgress): string {
  const left = rate > 0 ? `, ${Math.ceil((totalBytes - bytes) / rate)} s left` : '';
  const percent = Math.floor((bytes / totalBytes) * 100);
  return `pulling the image: ${percent} %, ${formatSize(bytes)} of ${formatSize(totalBytes)}, ${formatSize(rate)}/s${left}`;
}
