import { expect, it } from 'vitest';
import type { Span } from '../../src/cache/spans.ts';
import { TraceReplay, type TraceReplayParts } from '../../src/cache/trace-replay.ts';
import { ManualTime } from '../support/manual-time.ts';

/** A replay whose requests end when the test says so. */
function world(chunks: number[], parts: Partial<TraceReplayParts> = {}) {
  const asked: Span[] = [];
  const arrive: (() => void)[] = [];
  const time = new ManualTime();
  const loader = {
    demanding: false,
    prefetch(span: Span) {
      asked.push(span);
      return new Promise<void>((resolve) => arrive.push(resolve));
    },
  };
  const replay = new TraceReplay({
    chunks: Uint32Array.from(chunks),
    loader,
    spans: () => 1000,
    unread: () => 0,
    window: () => 1_000_000,
    longestSpan: 8,
    time,
    ...parts,
  });
  return { replay, asked, arrive, loader, time };
}

const shown = (spans: Span[]) => spans.map(({ first, count }) => `${first}+${count}`);

it('asks in order of touch, neighbours together, no span too long', async () => {
  const { replay, asked, arrive, time } = world([50, 7, 51, 8, 100, 101, 102, 103, 104, 105, 106, 107, 108]);
  const done = replay.run();
  await time.pass(20);
  expect(shown(asked)).toEqual(['50+2', '7+2', '100+8', '108+1']);
  expect(replay.active).toBe(true);
  for (const end of arrive) end();
  await done;
  expect(replay.active).toBe(false);
  expect(replay.asked).toBe(13);
});

it('waits while a reader wants something else, and while enough is under way', async () => {
  const { replay, asked, arrive, loader, time } = world([1, 10, 20, 30], { spans: () => 2 });
  loader.demanding = true;
  void replay.run();
  await time.pass(30);
  expect(asked).toEqual([]);
  loader.demanding = false;
  await time.pass(30);
  expect(shown(asked)).toEqual(['1+1', '10+1']);
  arrive[0]?.();
  await time.pass(30);
  expect(shown(asked)).toEqual(['1+1', '10+1', '20+1']);
  replay.stop();
});

it('goes no further than its window ahead of the readers, and says that it rests', async () => {
  let unread = 0;
  const { replay, asked, time } = world([1, 10, 20], { unread: () => unread, window: () => 5 });
  unread = 5;
  void replay.run();
  await time.pass(30);
  expect(asked).toEqual([]);
  expect(replay.active).toBe(false);
  unread = 4;
  await time.pass(30);
  expect(asked.length).toBe(3);
  replay.stop();
});
