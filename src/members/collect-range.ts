/** One range, whole, in memory: for the few small ones that are no fetches (probes, an image that is examined). */
import type { TimeSource } from '../base/time-source.ts';
import { type CollectedBody, collectBody } from './collect-body.ts';
import type { Connection } from './connections.ts';
import type { Deadlines } from './patience.ts';
import { type RangeHead, type RangeQuestion, requestRange } from './range-request.ts';

/** @throws MemberFault */
export async function collectRange(
  connection: Connection,
  question: RangeQuestion,
  time: TimeSource,
  deadlines: Deadlines,
): Promise<CollectedBody & { head: RangeHead }> {
  let head: RangeHead | undefined;
  const body = await collectBody(question.url.text, time, deadlines, (events) =>
    requestRange(connection, question, {
      ...events,
      onHead(answered) {
        head = answered;
        events.onStep();
      },
    }),
  );
  if (head === undefined) throw new Error('a range ended before it had a head');
  return { ...body, head };
}
