/**
 * What a member delivers while it has work to do: bytes, over the time for which it owed any. Measured across all its requests, because
 * single ones lie: their bytes share the link with others', and arrive in bursts out of the kernel's buffers whenever we get
 * round to reading them. (Taken from single requests, a link of 37 MB/s passed for one of 60 to 300.)
 */

/** A sample is taken when both of these have come together … */
const sampleMs = 50;
const sampleBytes = 262_144;
/** … or after this long, for a member that hardly delivers. */
const longestSampleMs = 250;
/** Shorter than this tells nothing, whatever the need. */
const shortestMs = 20;

export class BusyRate {
  #owing = 0;
  #since = 0;
  #busyMs = 0;
  #bytes = 0;

  /** A request was sent. One to an idle member first takes `latencyMs` that say nothing of its rate. */
  began(now: number, latencyMs: number): void {
    if (this.#owing++ === 0) this.#since = now + latencyMs;
  }

  /** Body bytes came. @returns a new sample in bytes a second, when there is one. */
  received(bytes: number, now: number): number | undefined {
    this.#bytes += bytes;
    return this.#sample(this.#busyMs + Math.max(0, now - this.#since), now);
  }

  /** A request is over, one way or another. */
  ended(now: number): void {
    if (--this.#owing === 0) this.#busyMs += Math.max(0, now - this.#since);
  }

  /** Bytes a second since the last sample, for who cannot wait for the next one; undefined when that was only just. */
  soFar(now: number): number | undefined {
    const busyMs = this.#busyMs + (this.#owing > 0 ? Math.max(0, now - this.#since) : 0);
    return busyMs < shortestMs ? undefined : (this.#bytes / busyMs) * 1000;
  }

  /** What has come together for the next sample says nothing of what is to come. */
  forget(now: number): void {
    this.#bytes = 0;
    this.#busyMs = 0;
    this.#since = Math.max(this.#since, now);
  }

  #sample(busyMs: number, now: number): number | undefined {
    if (busyMs < sampleMs || (this.#bytes < sampleBytes && busyMs < longestSampleMs)) return undefined;
    const rate = (this.#bytes / busyMs) * 1000;
    this.forget(now);
    return rate;
  }
}
