/** What scripts on a node ask the members: upstream's apiclient, as its `functions` call it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError } from '../../base/errors.ts';
import { goodAnswer, type MemberApi } from '../member-api.ts';

const prefix = '/confluent-api/self/';
const pauseMs = 1_000;

export interface ScriptQuestion {
  /** `/confluent-api/self/ROUTE`. */
  path: string;
  /** What is posted; undefined: it is a GET. */
  data?: string | undefined;
  /** It is asked again and again, until the answer has this status. */
  until?: number | undefined;
}

/** @param say told the body of each answer. @throws UsageError; TetherfsError UNREACHABLE, API when no member answers well. */
export async function askMembers(
  api: MemberApi,
  { path, data, until }: ScriptQuestion,
  say: (body: Buffer) => void,
  signal: AbortSignal,
): Promise<void> {
  if (!path.startsWith(prefix)) throw new UsageError(`${path}: give ${prefix} and what is asked for`);
  const question = data === undefined ? {} : { method: 'POST' as const, body: data };
  for (;;) {
    const { status, body } = goodAnswer(await api.ask(path.slice(prefix.length), question));
    say(body);
    if (until === undefined || status === until) return;
    await sleep(pauseMs, undefined, { signal });
  }
}
