import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { GrantMember, GrantNode, type MemberTurn, proofOf } from '../../src/protocol/grant.ts';
import { ProtocolError } from '../../src/protocol/protocol-error.ts';
import { encodeTlv } from '../../src/protocol/tlv.ts';

const hash = `$5$abcdefgh$${'x'.repeat(43)}`;
const echo = randomBytes(32);
const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');
const end = encodeTlv(0);

/** Bytes in pieces of these sizes, and then the rest. */
function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) return;
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

/** All turns but those that only want more. */
function turnsOf(member: GrantMember, bytes: Buffer, sizes: readonly number[] = []): MemberTurn[] {
  const turns: MemberTurn[] = [];
  for (const piece of pieces(bytes, sizes)) {
    let turn = member.receive(piece);
    while (turn.kind !== 'wait') {
      turns.push(turn);
      if (turn.kind === 'hash') break;
      member.admit(echo);
      turn = member.receive(Buffer.alloc(0));
    }
  }
  return turns;
}

describe('the member', () => {
  it('says and takes the bytes that upstream has', () => {
    const member = new GrantMember();
    expect(member.banner).toEqual(hex('c2 d1 2d a8 80 d8 6a ba'));
    expect(member.receive(hex('01 02 6e 31 00 00'))).toEqual({ kind: 'request', request: { node: 'n1' } });
    expect(member.admit(echo)).toEqual(Buffer.concat([hex('02 20'), echo, hex('00 00')]));
    expect(member.receive(Buffer.concat([hex('03 20'), echo]))).toEqual({ kind: 'wait' });
    const text = Buffer.from(hash);
    expect(member.receive(Buffer.concat([hex('04'), Buffer.of(text.length), text, hex('00 00')]))).toEqual({
      kind: 'hash',
      hash,
    });
    expect(member.accept()).toEqual(hex('05 00'));
  });

  test('however the bytes are cut, the turns are the same', () => {
    const said = Buffer.concat([
      encodeTlv(1, Buffer.from('n1')),
      encodeTlv(6, proofOf(Buffer.from('token'), hash)),
      encodeTlv(3, echo),
      encodeTlv(4, Buffer.from(hash)),
      end,
    ]);
    const expected = turnsOf(new GrantMember(), said);
    expect(expected.map(({ kind }) => kind)).toEqual(['request', 'hash']);
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 120 });
    const isSame = (cut: number[]) => {
      expect(turnsOf(new GrantMember(), said, cut)).toEqual(expected);
    };
    fc.assert(fc.property(sizes, isSame));
  });

  it.each([
    ['an empty name', encodeTlv(1), end],
    ['a name that is a path', encodeTlv(1, Buffer.from('../n1')), end],
    ['another type first', encodeTlv(4, Buffer.from(hash))],
    ['a proof of another length', encodeTlv(1, Buffer.from('n1')), encodeTlv(6, Buffer.alloc(31))],
    ['a wide type', hex('80 ff ff')],
    ['a wrong echo', encodeTlv(1, Buffer.from('n1')), end, encodeTlv(3, Buffer.alloc(32))],
    ['a short echo', encodeTlv(1, Buffer.from('n1')), end, encodeTlv(3, echo.subarray(1))],
    ['the hash before the echo', encodeTlv(1, Buffer.from('n1')), end, encodeTlv(4, Buffer.from(hash))],
    ['a hash with rounds', ...withHash('$5$rounds=1000$abcdefgh$x')],
    ['a hash of another kind', ...withHash(`$6$abcdefgh$${'x'.repeat(86)}`)],
    ['no hash at all', ...withHash('')],
    ['a hash with a line end', ...withHash(`${hash}\n`)],
  ])('refuses %s', (_what, ...bytes) => {
    expect(() => turnsOf(new GrantMember(), Buffer.concat(bytes))).toThrow(ProtocolError);
  });

  test('whatever comes, it is refused or waited for: nothing else is thrown, and nobody is admitted by it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.integer({ min: 1, max: 50 })), (bytes, cut) => {
        const member = new GrantMember();
        try {
          const turns = turnsOf(member, Buffer.from(bytes), cut);
          expect(turns.filter(({ kind }) => kind === 'hash')).toEqual([]);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('cannot be had to accept before there is a hash, or to admit whom nobody has asked for', () => {
    const member = new GrantMember();
    expect(() => member.accept()).toThrow();
    expect(() => member.admit(echo)).toThrow();
  });
});

function withHash(text: string): Buffer[] {
  return [encodeTlv(1, Buffer.from('n1')), end, encodeTlv(3, echo), encodeTlv(4, Buffer.from(text)), end];
}

describe('the node', () => {
  /** Both sides, until one of them has nothing more to say. */
  function talk(token: Buffer | undefined, isAdmitted = true): { verdict: string | undefined; member: MemberTurn[] } {
    const member = new GrantMember();
    const node = new GrantNode('n1', hash, token);
    const turns: MemberTurn[] = [];
    let toNode: Buffer = member.banner;
    for (;;) {
      const { send, verdict } = node.receive(toNode);
      if (verdict !== undefined || send === undefined) return { verdict, member: turns };
      const turn = member.receive(send);
      turns.push(turn);
      if (turn.kind === 'request' && isAdmitted) toNode = member.admit(echo);
      else if (turn.kind === 'hash') toNode = member.accept();
      else return { verdict: undefined, member: turns };
    }
  }

  it('gets its key granted', () => {
    const { verdict, member } = talk(undefined);
    expect(verdict).toBe('granted');
    expect(member).toEqual([
      { kind: 'request', request: { node: 'n1' } },
      { kind: 'hash', hash },
    ]);
  });

  it('proves that it knows the token by its hash, and does not show the token', () => {
    const token = Buffer.from('0123456789abcdef0123456789abcdef');
    const { verdict, member } = talk(token);
    expect(verdict).toBe('granted');
    expect(member[0]).toEqual({ kind: 'request', request: { node: 'n1', proof: proofOf(token, hash) } });
  });

  it('takes a sealed key of upstream’s for a refusal', () => {
    const node = new GrantNode('n1', hash);
    node.receive(new GrantMember().banner);
    expect(node.receive(encodeTlv(0x80, Buffer.from('key')))).toEqual({ verdict: 'denied' });
  });

  it('does not talk to whoever is no member', () => {
    expect(() => new GrantNode('n1', hash).receive(Buffer.from('SSH-2.0-OpenSSH'))).toThrow(ProtocolError);
  });
});
