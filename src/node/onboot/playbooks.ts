/** Ansible playbooks of the profile (`ansible/onboot.d`): the member runs them against this node, when it is asked to, and tells their words. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TetherfsError } from '../../base/errors.ts';
import { goodAnswer, type MemberApi } from '../member-api.ts';

const pauseMs = 1_000;
/** Answers in a row that may be lost while they run. */
const mostLost = 60;

/** @param say told what ansible prints, as it comes. @returns whether there were any. @throws TetherfsError PLAYBOOKS when one failed; UNREACHABLE, API */
export async function runPlaybooks(api: MemberApi, signal: AbortSignal, say: (text: string) => void): Promise<boolean> {
  const { member, status } = goodAnswer(await api.ask('remoteconfig/onboot.d', { method: 'POST', body: '{}' }));
  if (status !== 202) return false;
  const runner = api.of(member);
  let shown = '';
  for (let lost = 0; ; ) {
    const answers = await runner.ask('remoteconfig/status', { most: mostWords });
    // To be asked for them anew it would run all of them once more.
    if (answers.at(-1)?.kind !== 'ok' && ++lost < mostLost) {
      await sleep(pauseMs, undefined, { signal });
      continue;
    }
    lost = 0;
    const answer = goodAnswer(answers);
    if (answer.status === 204) return true;
    const words = answer.body.toString('utf8');
    // All of them so far, of which the oldest may have been dropped.
    say(words.startsWith(shown) ? words.slice(shown.length) : words);
    shown = words;
    if (answer.outcome === 'failed')
      throw new TetherfsError('PLAYBOOKS', 'a playbook has failed: what ansible said is in the journal');
    await sleep(pauseMs, undefined, { signal });
  }
}

/** Bytes. */
const mostWords = 8 * 1024 * 1024;
