/** What went wrong, by its kind: errors are rows of a report, not its end. */
import * as z from 'zod';
import { describeError } from '../base/errors.ts';
import { type FaultKind, faultKinds, MemberFault } from '../members/index.ts';

export const faultSchema = z.object({
  kind: z.enum([...faultKinds, 'outage']),
  count: z.int().positive(),
  /** The first of them, in words. */
  example: z.string(),
});
export type Fault = z.infer<typeof faultSchema>;

export class Faults {
  readonly #found = new Map<Fault['kind'], Fault>();
  /** The newest, in words. */
  last: string | undefined;

  add(error: unknown): void {
    const [kind, example]: [FaultKind | 'outage', string] =
      error instanceof MemberFault ? [error.kind, error.what] : ['outage', describeError(error)];
    this.last = example;
    const known = this.#found.get(kind);
    if (known === undefined) this.#found.set(kind, { kind, count: 1, example });
    else known.count++;
  }

  /** The most frequent first. */
  get all(): Fault[] {
    return [...this.#found.values()].sort((a, b) => b.count - a.count);
  }
}
