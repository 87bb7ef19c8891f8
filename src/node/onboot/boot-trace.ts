/** What the node has read while it booted, told to a member once, so that the next image is laid out by it (docs/image-format.md, "Boot order"). */
import { errorCode } from '../../base/errors.ts';
import { largestTraceSize, parseTrace } from '../../image/trace.ts';
import { readTrace } from '../../mount/control-client.ts';
import { describeAnswers, type MemberApi } from '../member-api.ts';
import { imageControl } from '../places.ts';
import { run } from '../programs.ts';

/** A boot that takes longer is over for its trace: as the daemon has it (src/mount/boot-trace.ts). */
const longestBootMs = 600_000;

/** Resolves when systemd has started all that it is to start. */
export async function bootIsOver(signal: AbortSignal): Promise<void> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(longestBootMs)]);
  // "degraded" is a status of 1, and an end as well.
  await run('systemctl', ['is-system-running', '--wait'], { package: 'systemd', signal: either }).catch(() => {});
}

/** @returns why it was not told: undefined when it was, or there is none. */
export async function postTrace(api: MemberApi): Promise<string | undefined> {
  const text = await readTrace(imageControl()).catch((error: unknown) => {
    if (['NO_TRACE', 'NO_DAEMON'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  if (text.length > largestTraceSize) return 'it is too large';
  const hex = parseTrace(text).digest.replace(/^sha256:/, '');
  const answers = await api.ask(`boottrace/${hex}`, { method: 'POST', body: text });
  return answers.at(-1)?.kind === 'ok' ? undefined : describeAnswers(answers);
}
