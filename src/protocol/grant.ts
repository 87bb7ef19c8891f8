/**
 * How a node gets its first key to the API (clortho's protocol, TCP port 13001): it makes the key itself, and shows the member its crypt(3) text; the member
 * takes that when somebody has armed the node and the node is where it says (an echo), or knows the token. Both sides as state machines: bytes in, bytes and
 * verdict out. Neither has a socket, a clock, or randomness of its own.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ProtocolError } from './protocol-error.ts';
import { encodeTlv, TlvReader } from './tlv.ts';

export const grantPort = 13001;
/** The member takes keys only from a privileged port, which on a node root alone can have. */
export const highestClientPort = 999;

const banner = Buffer.from('c2d12da880d86aba', 'hex');
export const echoBytes = 32;
const proofBytes = 32;

const type = { end: 0, node: 1, echoRequest: 2, echoReply: 3, hash: 4, accepted: 5, proof: 6, sealed: 0x80 } as const;

/** crypt(3) by SHA-256, with its 5000 rounds: upstream takes a text with `rounds=` apart at the wrong place. */
export const cryptText = /^\$5\$[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43}$/;
/** A host name; what else a node calls itself is no node. */
export const nodeName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$/;

/** HMAC-SHA256 of the crypt text by the node's token: proof of a node that may come from anywhere. */
export function proofOf(token: Uint8Array, hash: string): Buffer {
  return createHmac('sha256', token).update(hash).digest();
}

/** In constant time. */
export function isProof(proof: Uint8Array, token: Uint8Array, hash: string): boolean {
  return proof.length === proofBytes && timingSafeEqual(proof, proofOf(token, hash));
}

export interface GrantRequest {
  node: string;
  /** Of a node with a token: checked when the hash is there. */
  proof?: Buffer;
}

export type MemberTurn =
  /** More bytes are wanted. */
  | { kind: 'wait' }
  /** Somebody asks: `admit` or close. */
  | { kind: 'request'; request: GrantRequest }
  /** The echo was right, and this is the crypt text of the node's new key: `accept` or close. */
  | { kind: 'hash'; hash: string };

/** The member's side. */
/** Of a node, in all its turns: each value has 255 at most. */
const mostBytes = 1_280;

export class GrantMember {
  /** To be sent at once. */
  readonly banner = banner;
  readonly #reader = new TlvReader(255);
  #state: 'node' | 'proof' | 'deciding' | 'echo' | 'hash' | 'end' | 'over' = 'node';
  #node = '';
  #hash = '';
  #echo: Buffer = Buffer.alloc(0);
  #received = 0;

  /** @throws ProtocolError: close. */
  receive(bytes: Uint8Array): MemberTurn {
    this.#received += bytes.length;
    if (this.#received > mostBytes) throw new ProtocolError('more than a request has');
    this.#reader.push(bytes);
    for (;;) {
      if (this.#state === 'deciding' || this.#state === 'over') return { kind: 'wait' };
      const tlv = this.#reader.next();
      if (tlv === undefined) return { kind: 'wait' };
      const turn = this.#take(tlv.type, tlv.value);
      if (turn !== undefined) return turn;
    }
  }

  /** @param echo random bytes, `echoBytes` of them. @returns what is to be sent. */
  admit(echo: Buffer): Buffer {
    if (this.#state !== 'deciding' || echo.length !== echoBytes) throw new Error('nobody has asked to be admitted');
    this.#echo = echo;
    this.#state = 'echo';
    return Buffer.concat([encodeTlv(type.echoRequest, echo), encodeTlv(type.end)]);
  }

  /** @returns what is to be sent, and then closed. */
  accept(): Buffer {
    if (this.#state !== 'over') throw new Error('there is no hash to be accepted');
    return encodeTlv(type.accepted);
  }

  #take(kind: number, value: Buffer): MemberTurn | undefined {
    if (this.#state === 'node' && kind === type.node) {
      this.#node = value.toString('latin1');
      if (!nodeName.test(this.#node)) throw new ProtocolError('that is no name of a node');
      this.#state = 'proof';
    } else if (this.#state === 'proof' && kind === type.end && value.length === 0) {
      this.#state = 'deciding';
      return { kind: 'request', request: { node: this.#node } };
    } else if (this.#state === 'proof' && kind === type.proof && value.length === proofBytes) {
      this.#state = 'deciding';
      return { kind: 'request', request: { node: this.#node, proof: Buffer.from(value) } };
    } else if (this.#state === 'echo' && kind === type.echoReply) {
      if (value.length !== echoBytes || !timingSafeEqual(value, this.#echo)) throw new ProtocolError('a wrong echo');
      this.#state = 'hash';
    } else if (this.#state === 'hash' && kind === type.hash) {
      this.#hash = value.toString('latin1');
      if (!cryptText.test(this.#hash)) throw new ProtocolError('that is no crypt(3) text of SHA-256');
      this.#state = 'end';
    } else if (this.#state === 'end' && kind === type.end && value.length === 0) {
      this.#state = 'over';
      return { kind: 'hash', hash: this.#hash };
    } else throw new ProtocolError(`type ${kind} does not belong here`);
    return undefined;
  }
}

export interface NodeTurn {
  /** To be sent. */
  send?: Buffer;
  /** How it ended; undefined while it goes on. */
  verdict?: 'granted' | 'denied';
}

/** The node's side. A member that closes has denied. */
export class GrantNode {
  readonly #reader = new TlvReader(0xffff);
  readonly #node: string;
  readonly #hash: string;
  readonly #token: Uint8Array | undefined;
  #state: 'banner' | 'echo' | 'echoEnd' | 'verdict' | 'over' = 'banner';
  #echo = Buffer.alloc(0);

  /** @param hash crypt text of the new key. @param token of a node that has one. */
  constructor(node: string, hash: string, token?: Uint8Array) {
    this.#node = node;
    this.#hash = hash;
    this.#token = token;
  }

  /** The member has seen the hash, and has not said what becomes of it. */
  get isUndecided(): boolean {
    return this.#state === 'verdict';
  }

  /** @throws ProtocolError */
  receive(bytes: Uint8Array): NodeTurn {
    this.#reader.push(bytes);
    const send: Buffer[] = [];
    while (this.#state !== 'over') {
      if (this.#state === 'banner') {
        const head = this.#reader.take(banner.length);
        if (head === undefined) break;
        if (!head.equals(banner)) throw new ProtocolError('no confluent member answers there');
        send.push(this.#request());
        this.#state = 'echo';
        continue;
      }
      const tlv = this.#reader.next();
      if (tlv === undefined) break;
      const { verdict, answer } = this.#take(tlv.type, tlv.value);
      if (answer !== undefined) send.push(answer);
      if (verdict !== undefined) return { verdict };
    }
    return send.length > 0 ? { send: Buffer.concat(send) } : {};
  }

  #request(): Buffer {
    const proof = this.#token && proofOf(this.#token, this.#hash);
    return Buffer.concat([
      encodeTlv(type.node, Buffer.from(this.#node, 'latin1')),
      proof === undefined ? encodeTlv(type.end) : encodeTlv(type.proof, proof),
    ]);
  }

  #take(kind: number, value: Buffer): { verdict?: 'granted' | 'denied'; answer?: Buffer } {
    // An old member's way to say that it has a key that only the TPM of another boot opens: of no use here.
    if (kind === type.sealed) {
      this.#state = 'over';
      return { verdict: 'denied' };
    }
    if (this.#state === 'echo' && kind === type.echoRequest) {
      this.#echo = Buffer.from(value);
      this.#state = 'echoEnd';
      return {};
    }
    if (this.#state === 'echoEnd' && kind === type.end) {
      this.#state = 'verdict';
      const reply = [encodeTlv(type.echoReply, this.#echo), encodeTlv(type.hash, Buffer.from(this.#hash, 'latin1'))];
      return { answer: Buffer.concat([...reply, encodeTlv(type.end)]) };
    }
    if (this.#state === 'verdict' && kind === type.accepted) {
      this.#state = 'over';
      return { verdict: 'granted' };
    }
    throw new ProtocolError(`type ${kind} does not belong here`);
  }
}
