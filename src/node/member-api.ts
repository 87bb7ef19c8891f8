/**
 * The members' API, as a node asks it. Every question may go to every member: the first that answers well is enough. What they say is told apart by its form, never by its words: a key that is
 * refused is another thing than a member that cannot be reached, or one that answers nonsense.
 */
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkServerIdentity, type TLSSocket } from 'node:tls';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';
import { idHeaders, nodeHeaders, outcomeHeader } from '../protocol/headers.ts';

export interface GoodAnswer {
  readonly member: string;
  readonly kind: 'ok';
  readonly status: number;
  readonly body: Buffer;
  /** Of playbooks that have ended, where the member tells. */
  readonly outcome?: string;
}

export type ApiAnswer = GoodAnswer | ({ readonly member: string } & BadAnswer);

type BadAnswer =
  /** It does not believe that we are who we say. */
  | {
      readonly kind: 'refused';
      readonly why: string;
      /** Fingerprint of its certificate: a member may have several addresses. */
      readonly by: string;
    }
  /** No connection, no TLS, no answer in time. */
  | { readonly kind: 'unreachable'; readonly why: string }
  /** It answers, and cannot help: an error of its own, or nothing that makes sense. */
  | { readonly kind: 'invalid'; readonly status: number; readonly why: string };

export interface ApiOptions {
  /** Addresses, with zones; names. */
  members: readonly string[];
  /** Authorities, in PEM: these alone are believed. */
  authorities: readonly string[];
  node: string;
  key: string;
  signal?: AbortSignal | undefined;
}

export interface ApiQuestion {
  method?: 'GET' | 'POST';
  body?: string;
  /** By which it is asked, in the place of name and key. */
  ids?: string;
  /** Answers of more bytes make no sense. */
  most?: number;
  /** ms for all of an answer. */
  wholeMs?: number;
  /** Makes no sense of an answer by throwing: then the next member is asked. */
  check?: (body: Buffer) => unknown;
}

interface Exchanged {
  status: number;
  body: Buffer;
  by: string;
  outcome: string | undefined;
}

/** It comes, and cannot be what was asked for. */
class SenselessAnswer extends Error {}

const { request } = process.getBuiltinModule('node:https');
/** So long nothing may come; and so long an answer may take in all. */
const patienceMs = 15_000;
const usualWholeMs = 60_000;
const usualMost = 1024 * 1024;
/** Of a file: somebody's whole program. */
const fileMost = 64 * 1024 * 1024;
const fileWholeMs = 600_000;
const shownWords = 500;
/** How often all are asked for what a node can do without, and the pause between. */
const rounds = 3;
const pauseMs = 1_000;

export class MemberApi {
  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** Of all members, one after the other until one answers well. @returns what each has answered; the last is the good one, when there is one. */
  async ask(route: string, question: ApiQuestion = {}): Promise<ApiAnswer[]> {
    return this.#askAll(`/confluent-api/self/${route}`, question);
  }

  /**
   * What a node can do without: asked for some times. @param take makes of an answer what is wanted; what it throws is wrong with that answer, and the next member is asked.
   * @returns it, or why there is none, for people.
   */
  async seek<T>(
    route: string,
    take: (body: Buffer) => T,
    question: ApiQuestion = {},
  ): Promise<{ readonly found: T } | { readonly why: string }> {
    const taken: { readonly found: T }[] = [];
    const check = (body: Buffer) => taken.push({ found: take(body) });
    for (let round = 1; ; round++) {
      const answers = await this.ask(route, { ...question, check });
      const [first] = taken;
      if (first !== undefined) return first;
      if (round === rounds) return { why: describeAnswers(answers) };
      await sleep(pauseMs, undefined, { ...(this.#options.signal && { signal: this.#options.signal }) });
    }
  }

  /** A file of the public tree. @returns what each has answered, as `ask` does. */
  file(path: string): Promise<ApiAnswer[]> {
    return this.#askAll(`/confluent-public/${path}`, { most: fileMost, wholeMs: fileWholeMs });
  }

  /** The same, but one member alone is asked: for what it knows, and no other. */
  of(member: string): MemberApi {
    return new MemberApi({ ...this.#options, members: [member] });
  }

  async #askAll(path: string, question: ApiQuestion): Promise<ApiAnswer[]> {
    const answers: ApiAnswer[] = [];
    for (const member of this.#options.members) {
      const answer = await this.#askOne(member, path, question);
      answers.push(answer);
      if (answer.kind === 'ok') break;
    }
    return answers;
  }

  async #askOne(member: string, path: string, question: ApiQuestion): Promise<ApiAnswer> {
    try {
      const { status, body, by, outcome } = await this.#exchange(member, path, question);
      if (status >= 200 && status < 300) {
        const wrong = whatIsWrong(body, question);
        return wrong === undefined
          ? { member, kind: 'ok', status, body, ...(outcome !== undefined && { outcome }) }
          : { member, kind: 'invalid', status, why: wrong };
      }
      const why = `${status} ${body.toString('latin1', 0, shownWords).replace(/[^ -~]+/g, ' ')}`.trim();
      return status === 401 || status === 403
        ? { member, kind: 'refused', why, by }
        : { member, kind: 'invalid', status, why };
    } catch (error) {
      if (error instanceof SenselessAnswer) return { member, kind: 'invalid', status: 0, why: error.message };
      return { member, kind: 'unreachable', why: tlsReason(error) ?? describeError(error) };
    }
  }

  #exchange(
    member: string,
    path: string,
    { method = 'GET', body, ids, most = usualMost, wholeMs = usualWholeMs }: ApiQuestion,
  ): Promise<Exchanged> {
    const { node, key, authorities, signal } = this.#options;
    const bare = member.replace(/%.*$/, '');
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          host: member,
          path,
          method,
          // A zone is our own business.
          headers: {
            Host: isIP(bare) === 6 ? `[${bare}]` : bare,
            ...(ids === undefined ? nodeHeaders(node, key) : idHeaders(ids)),
            ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }),
          },
          ca: [...authorities],
          servername: isIP(bare) === 0 ? bare : '',
          checkServerIdentity: (_host, certificate) => checkServerIdentity(bare, certificate),
          agent: false,
          timeout: patienceMs,
          ...(signal && { signal }),
        },
        (response) => {
          const { statusCode: status = 0, headers } = response;
          // Else nobody would see that it was cut off.
          if (status !== 204 && (headers['content-length'] ?? headers['transfer-encoding']) === undefined) {
            asked.destroy(new SenselessAnswer('it does not say how long its answer is'));
            return;
          }
          const by = (response.socket as TLSSocket).getPeerCertificate().fingerprint256;
          const pieces: Buffer[] = [];
          let length = 0;
          response.on('data', (piece: Buffer) => {
            pieces.push(piece);
            length += piece.length;
            if (length > most) asked.destroy(new SenselessAnswer(`more than ${most} bytes`));
          });
          const outcome = headers[outcomeHeader]?.toString();
          response.on('end', () => resolve({ status, body: Buffer.concat(pieces), by, outcome }));
          response.on('error', reject);
        },
      );
      const late = () => asked.destroy(new Error('no answer in time'));
      const whole = setTimeout(late, wholeMs);
      asked.on('close', () => clearTimeout(whole));
      asked.on('timeout', late);
      asked.on('error', reject);
      asked.end(body);
    });
  }
}

function whatIsWrong(body: Buffer, { check }: ApiQuestion): string | undefined {
  try {
    check?.(body);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** @throws TetherfsError API with what each member has answered; UNREACHABLE when none has. */
export function goodAnswer(answers: readonly ApiAnswer[]): GoodAnswer {
  const last = answers.at(-1);
  if (last?.kind === 'ok') return last;
  const isSilent = answers.every(({ kind }) => kind === 'unreachable');
  const what = isSilent ? 'no member can be reached' : 'no member answers well';
  throw new TetherfsError(isSilent ? 'UNREACHABLE' : 'API', `${what} (${describeAnswers(answers)})`);
}

/** Whether all who were asked have answered that there is no such thing. */
export function isNowhere(answers: readonly ApiAnswer[]): boolean {
  return answers.every((answer) => answer.kind === 'invalid' && answer.status === 404);
}

/** For people: of each that has not answered well, why not. */
export function describeAnswers(answers: readonly ApiAnswer[]): string {
  return answers
    .flatMap((answer) => (answer.kind === 'ok' ? [] : [`${answer.member}: ${answer.kind}, ${answer.why}`]))
    .join('; ');
}

const unknownAuthority = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Codes of OpenSSL's verification, and Node's. Undefined for what is none of TLS. */
function tlsReason(error: unknown): string | undefined {
  const code = errorCode(error) ?? '';
  if (unknownAuthority.has(code))
    return 'its certificate is signed by no authority of the site archive in the initramfs: is that of this site, and up to date?';
  if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED')
    return `its certificate is not valid at this machine's time, ${new Date().toISOString().slice(0, 16)}Z: is the clock right?`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is not for the address that it was asked at';
  return undefined;
}
