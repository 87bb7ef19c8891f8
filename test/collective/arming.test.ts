import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  armed,
  disarmed,
  formatArming,
  type GrantState,
  granted,
  parseArming,
  promoted,
  refusal,
} from '../../src/collective/arming.ts';

const now = 1_000_000;
const near = { peer: '10.0.0.5', isTrusted: true, hasProof: false, now };
const once = armed({}, { kind: 'once' });
const candidate = (hash: string, peer = near.peer) => ({ hash, peer, at: now });

describe('who may get a key', () => {
  it.each<[string, GrantState, Partial<typeof near>, RegExp | undefined]>([
    ['nobody who is not armed', {}, {}, /not armed/],
    ['who is armed once', once, {}, undefined],
    ['nobody from afar', once, { isTrusted: false }, /neither local nor in trusted.subnets/],
    ['who is armed until later', armed({}, { kind: 'until', until: now + 1 }), {}, undefined],
    ['nobody whose time is over', armed({}, { kind: 'until', until: now }), {}, /expired/],
    [
      'from anywhere, who has a token',
      armed({}, { kind: 'once' }, 'sealed'),
      { isTrusted: false, hasProof: true },
      undefined,
    ],
    ['with the proof of a token of before, who might without', once, { hasProof: true }, undefined],
    ['nobody else with that', once, { hasProof: true, isTrusted: false }, /neither local nor/],
    [
      'nobody with a token whose time is over',
      armed({}, { kind: 'until', until: now }, 'sealed'),
      { isTrusted: false, hasProof: true },
      /expired/,
    ],
    ['the same peer again, as long as its key has not been used', granted(once, candidate('a')), {}, undefined],
    ['no other peer meanwhile', granted(once, candidate('a', '10.0.0.66')), {}, /has given a key to 10.0.0.66/],
    [
      'another peer, where it is armed continuously',
      granted(armed({}, { kind: 'continuous' }), candidate('a', '10.0.0.66')),
      {},
      undefined,
    ],
  ])('%s', (_who, state, asking, expected) => {
    const why = refusal(state, { ...near, ...asking });
    if (expected === undefined) expect(why).toBeUndefined();
    else expect(why).toMatch(expected);
  });
});

describe('an arming admits one key', () => {
  it('which is the node’s when it is first used; until then a lost answer costs nothing', () => {
    const lost = granted(once, candidate('lost'));
    const again = granted(lost, candidate('kept'));
    expect(again.candidate?.hash).toBe('kept');
    const used = promoted(again);
    expect(used).toEqual({ promoted: 'kept' });
    expect(refusal(used, near)).toMatch(/not armed/);
  });

  it('and the key of before is good until then', () => {
    const before = granted(armed({ promoted: 'old' }, { kind: 'once' }), candidate('new'));
    expect(before.promoted).toBe('old');
    expect(promoted(before).promoted).toBe('new');
  });

  it('its use up to then disarms nothing: it is for the next boot', () => {
    const next = armed({ promoted: 'old' }, { kind: 'once' });
    expect(promoted(next)).toBe(next);
  });

  it('continuously, one after the other', () => {
    const used = promoted(granted(armed({}, { kind: 'continuous' }, 'sealed'), candidate('a')));
    expect(used).toEqual({ promoted: 'a', armed: { kind: 'continuous' }, token: 'sealed' });
    expect(refusal(used, near)).toBeUndefined();
  });

  it('a token is used once', () => {
    expect(promoted(granted(armed({}, { kind: 'once' }, 'sealed'), candidate('a'))).token).toBeUndefined();
  });

  it('a new arming makes worthless what the last has given', () => {
    expect(armed(granted(once, candidate('a', '10.0.0.66')), { kind: 'once' })).toEqual({ armed: { kind: 'once' } });
    expect(disarmed(granted({ promoted: 'old', armed: { kind: 'once' } }, candidate('a')))).toEqual({
      promoted: 'old',
    });
  });
});

test('whatever happens, in whatever order: a key is used only after it was granted, and after a disarming none is granted', () => {
  const step = fc.oneof(
    fc.constant('arm' as const),
    fc.constant('disarm' as const),
    fc.constant('use' as const),
    fc.record({ peer: fc.constantFrom('a', 'b'), hash: fc.uuid() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let state: GrantState = {};
      let isArmed = false;
      const given = new Set<string>();
      for (const one of steps) {
        if (one === 'arm') [state, isArmed] = [armed(state, { kind: 'once' }), true];
        else if (one === 'disarm') [state, isArmed] = [disarmed(state), false];
        else if (one === 'use') {
          if (state.candidate !== undefined) isArmed = false;
          state = promoted(state);
        } else if (refusal(state, { ...near, peer: one.peer }) === undefined) {
          expect(isArmed).toBe(true);
          given.add(one.hash);
          state = granted(state, candidate(one.hash, one.peer));
        }
        for (const hash of [state.promoted, state.candidate?.hash])
          if (hash !== undefined) expect(given).toContain(hash);
      }
    }),
  );
});

it.each([
  ['once', { kind: 'once' }, 'once'],
  ['continuous', { kind: 'continuous' }, 'continuous'],
  ['2026-12-01T08:00:00Z', { kind: 'until', until: Date.UTC(2026, 11, 1, 8) }, '2026-12-01T08:00:00Z'],
  ['2h', { kind: 'until', until: now + 7_200_000 }, '1970-01-01T02:16:40Z'],
])('%s is how long', (text, mode, shown) => {
  expect(parseArming(text, now)).toEqual(mode);
  expect(formatArming(parseArming(text, now))).toBe(shown);
});

it.each(['', 'twice', '2026-12-01', '2026-13-01T08:00:00Z', '-2h', '2 h'])('"%s" is not', (text) => {
  expect(parseArming(text, now)).toBeUndefined();
});
