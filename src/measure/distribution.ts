/** What samples of a time tell: quantiles with how certain they are, and a histogram. */
import * as z from 'zod';

/** A quantile, and where 95 of 100 of its like lie when as many samples are drawn from these (bootstrap). */
const quantileSchema = z.object({ value: z.number(), low: z.number(), high: z.number() });
export type Quantile = z.infer<typeof quantileSchema>;

/** All in ms. */
export const distributionSchema = z.object({
  samples: z.int().positive(),
  least: z.number(),
  most: z.number(),
  mean: z.number(),
  p50: quantileSchema,
  p90: quantileSchema,
  /** null: so few samples tell nothing of it. */
  p99: quantileSchema.nullable(),
  p999: quantileSchema.nullable(),
  /** So many lie from `from` up to an eighth of an octave above it; places without any are left out. */
  histogram: z.array(z.object({ from: z.number(), count: z.int() })),
});
export type Distribution = z.infer<typeof distributionSchema>;

/** Fewer samples judge nothing: of two times three, one pair in ten has nothing in common by chance alone. */
export const fewestJudged = 8;

const certainty = 0.95;
/** Of a histogram: so many places between a time and its double. */
const placesInOctave = 8;

/** @param samples at least one; ms. */
export function distributionOf(samples: readonly number[]): Distribution {
  const sorted = Float64Array.from(samples).sort();
  const [least, most] = [sorted[0], sorted.at(-1)];
  if (least === undefined || most === undefined) throw new RangeError('there is no sample');
  /** At least one sample must lie beyond it. */
  const rare = (q: number) => (sorted.length * (1 - q) < 1 ? null : quantileOf(sorted, q));
  return {
    ...{ samples: sorted.length, least, most },
    mean: sorted.reduce((sum, one) => sum + one, 0) / sorted.length,
    p50: quantileOf(sorted, 0.5),
    p90: quantileOf(sorted, 0.9),
    p99: rare(0.99),
    p999: rare(0.999),
    histogram: histogramOf(sorted),
  };
}

/**
 * The smallest sample that at least the share `q` do not exceed. Its interval is the one that drawing as many samples again and again, with replacement, would
 * come to in the end; no draw is needed for it: a draw's quantile is at most the k-th sample when of its n at least m are among the first k, which
 * is binomial (Efron, Bootstrap methods, 1979, section 3, for the median).
 */
function quantileOf(sorted: Float64Array, q: number): Quantile {
  const n = sorted.length;
  const m = Math.max(1, Math.ceil(q * n));
  const nth = (k: number) => sorted[k - 1] ?? Number.NaN;
  const within = (share: number) => nth(smallest(n, (k) => atLeast(m, n, k / n) >= share));
  return { value: nth(m), low: within((1 - certainty) / 2), high: within((1 + certainty) / 2) };
}

/** The smallest of 1 to `n` for which it holds, as it does for all larger ones. */
function smallest(n: number, holds: (k: number) => boolean): number {
  let [low, high] = [1, n];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The probability that of `n` draws at least `m` succeed, each with probability `p`. The sum is taken from where its terms only become smaller. */
function atLeast(m: number, n: number, p: number): number {
  if (p >= 1) return 1;
  return m > n * p ? tail(m, 1, n, p) : 1 - tail(m - 1, -1, n, p);
}

/** The probability of exactly `i`, and of all beyond it in the direction of `step`. */
function tail(from: number, step: 1 | -1, n: number, p: number): number {
  const odds = p / (1 - p);
  let sum = 0;
  let term = Math.exp(logChoose(n, from) + from * Math.log(p) + (n - from) * Math.log1p(-p));
  for (let i = from; i >= 0 && i <= n && term > sum * Number.EPSILON; i += step) {
    sum += term;
    term *= step > 0 ? ((n - i) / (i + 1)) * odds : i / (n - i + 1) / odds;
  }
  return sum;
}

function logChoose(n: number, k: number): number {
  return k < 0 || k > n ? Number.NEGATIVE_INFINITY : logFactorial(n) - logFactorial(k) - logFactorial(n - k);
}

/** Stirling's series, right to 9 digits from 16 on. */
function logFactorial(n: number): number {
  if (n < 16) return Math.log(Array.from({ length: n }, (_, i) => i + 1).reduce((product, one) => product * one, 1));
  return n * Math.log(n) - n + Math.log(2 * Math.PI * n) / 2 + 1 / (12 * n) - 1 / (360 * n ** 3);
}

function histogramOf(sorted: Float64Array): Distribution['histogram'] {
  const histogram: Distribution['histogram'] = [];
  for (const sample of sorted) {
    // Clocks have steps: nothing takes no time.
    const place = Math.floor(Math.log2(Math.max(sample, 1e-3)) * placesInOctave);
    const from = Number((2 ** (place / placesInOctave)).toPrecision(6));
    const last = histogram.at(-1);
    if (last?.from === from) last.count++;
    else histogram.push({ from, count: 1 });
  }
  return histogram;
}
