/** Why a demo ended. */
import { describeError } from '../src/base/errors.ts';

/** The failure itself, not what went wrong besides while taking down after it. */
export function describeFailure(error: unknown): string {
  return error instanceof SuppressedError ? describeFailure(error.suppressed) : describeError(error);
}
