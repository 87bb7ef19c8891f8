/** A cable made by our own link emulator (link-emulator.c): two TUN devices and a process between them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Cable, WireCounters } from './cable.ts';
import { run } from './run.ts';

const longestSegmentMicroseconds = 200;
const directory = fileURLToPath(new URL('.', import.meta.url));
const program = fileURLToPath(new URL('../../native/build/link-emulator', import.meta.url));

export async function makeEmulatedCable(number: number): Promise<Cable> {
  execFileSync('make', ['-C', directory], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [nodeDevice, memberDevice] = [`to-m${number}`, 'eth0'];
  const emulator = new Emulator(spawn(program, [nodeDevice, memberDevice], { stdio: ['pipe', 'pipe', 'inherit'] }));
  await emulator.answer();
  // Lives as long as the emulator or whoever was started in it.
  const namespace = `/proc/${emulator.pid}/ns/net`;
  return {
    nodeDevice,
    memberDevice,
    namespace,
    async set({ megabits, rttMs, loss, queueMs }) {
      const longest = ['gso_max_size', String(longestSegment(megabits))];
      run('ip', 'link', 'set', nodeDevice, ...longest);
      run('nsenter', `--net=${namespace}`, '--', 'ip', 'link', 'set', memberDevice, ...longest);
      await emulator.tell(`rate ${Math.round(megabits * 1e6)}`);
      await emulator.tell(`delay ${(rttMs * 1000) / 2}`);
      await emulator.tell(`loss ${loss}`);
      await emulator.tell(`queue ${queueMs * 1000}`);
    },
    async silence(on) {
      await emulator.tell(`silence ${on ? 'on' : 'off'}`);
    },
    async counters() {
      const numbers = (await emulator.tell('counters')).split(' ').map(Number);
      return { toMember: wireCounters(numbers.slice(0, 4)), fromMember: wireCounters(numbers.slice(4)) };
    },
    close: () => emulator.close(),
  };
}

/**
 * Bytes that may pass as one. A segment arrives when its last byte does; where the first frame would be acknowledged at once, the
 * sender would wait for its acknowledgement by the whole segment's wire time too long, which a connection that has just
 * begun pays several times. Shorter ones cost processor time.
 */
function longestSegment(megabits: number): number {
  return Math.min(65536, Math.max(3028, Math.round((longestSegmentMicroseconds * megabits) / 8)));
}

function wireCounters([bytes = 0, frames = 0, lost = 0, dropped = 0]: readonly number[]): WireCounters {
  return { bytes, frames, lost: lost + dropped };
}

class Emulator {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error('the link emulator needs a pipe');
    this.#child = child;
    this.#ended = once(child, 'exit');
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    child.stdin?.on('error', () => {}); // Who has gone is found out by the missing answer.
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async answer(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the link emulator has ended');
    return value;
  }

  /** @returns what follows `ok`. @throws Error with the emulator's words. */
  async tell(command: string): Promise<string> {
    this.#child.stdin?.write(`${command}\n`);
    const answer = await this.answer();
    if (!answer.startsWith('ok')) throw new Error(`link emulator: ${answer}`);
    return answer.slice('ok '.length);
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }
}
