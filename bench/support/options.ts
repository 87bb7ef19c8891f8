/** The few options that all benches share. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** How often everything is measured; medians are of these. */
  runs: number;
  /** Bytes of random data in the image. */
  imageBytes: number;
  /** Of each member's link. */
  megabits: number;
}

/** @throws Error naming the option when it makes no sense. */
export function benchOptions(defaults: { runs: number; imageMiB: number; megabits?: number }): BenchOptions {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: String(defaults.runs) },
      'image-mib': { type: 'string', default: String(defaults.imageMiB) },
      megabits: { type: 'string', default: String(defaults.megabits ?? 300) },
    },
  });
  return {
    runs: positive('--runs', values.runs),
    imageBytes: positive('--image-mib', values['image-mib']) * 1024 * 1024,
    megabits: positive('--megabits', values.megabits),
  };
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} ${text}: not a positive whole number`);
  return value;
}
