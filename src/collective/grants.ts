/** Armings and granted keys in the store: what arming.ts decides, kept. Each decision is made by what is in the store at that moment, and audited. */
import { randomCryptText } from '../protocol/crypt-alphabet.ts';
import { isProof } from '../protocol/grant.ts';
import { type ArmingMode, armed, disarmed, formatArming, type GrantState, granted, refusal } from './arming.ts';
import type { Sealer } from './authority/secrets.ts';
import { grantsKey } from './keys.ts';
import { change, type Store } from './store/contract.ts';

export interface Peer {
  address: string;
  /** Link-local, on a subnet of ours, or of trusted.subnets. */
  isTrusted: boolean;
}

/** As upstream's identity files have them: 32 characters. */
const tokenBytes = 24;

export class Grants {
  readonly #store: Store;
  readonly #masterKey: Sealer;

  constructor(store: Store, masterKey: Sealer) {
    this.#store = store;
    this.#masterKey = masterKey;
  }

  async state(node: string): Promise<GrantState> {
    return ((await this.#store.get(grantsKey(node)))?.value ?? {}) as GrantState;
  }

  /** Why the node gets no key; undefined when it may go on. */
  async refusal(node: string, peer: Peer, hasProof: boolean): Promise<string | undefined> {
    return refusal(await this.state(node), { ...asked(peer), hasProof, now: Date.now() });
  }

  /**
   * Takes the crypt text of its new key, decided once more by what is in the store now. @param proof of a node with a token.
   * @returns why not; undefined when it is the node's candidate.
   */
  async give(node: string, hash: string, peer: Peer, proof: Buffer | undefined): Promise<string | undefined> {
    const key = grantsKey(node);
    const why = await change(this.#store, async () => {
      const entry = await this.#store.get(key);
      const state = (entry?.value ?? {}) as GrantState;
      const now = Date.now();
      const refused =
        refusal(state, { ...asked(peer), hasProof: proof !== undefined, now }) ??
        this.#wrongProof(node, state, hash, proof);
      if (refused !== undefined) return { changes: [], result: refused };
      const value = granted(state, { hash, peer: peer.address, at: now });
      return { changes: [{ key, revision: entry?.revision ?? 0, value }], result: undefined };
    });
    if (why === undefined) await this.#store.audit({ subject: node, event: 'key granted', by: peer.address });
    else await this.noteRefusal(node, peer.address, why);
    return why;
  }

  /** In the audit. */
  async noteRefusal(node: string, by: string, why: string): Promise<void> {
    await this.#store.audit({ subject: node, event: 'key refused', by, detail: why });
  }

  /** @param withToken makes a token for each. @returns tokens by node. */
  async arm(nodes: readonly string[], mode: ArmingMode, by: string, withToken: boolean): Promise<Map<string, string>> {
    const tokens = new Map<string, string>();
    for (const node of nodes) {
      const key = grantsKey(node);
      const token = withToken ? randomCryptText(tokenBytes) : undefined;
      if (token !== undefined) tokens.set(node, token);
      await change(this.#store, async () => {
        const entry = await this.#store.get(key);
        const sealed = token === undefined ? undefined : this.#masterKey.seal(token, key);
        const value = armed((entry?.value ?? {}) as GrantState, mode, sealed);
        return { changes: [{ key, revision: entry?.revision ?? 0, value }], result: undefined };
      });
      await this.#store.audit({ subject: node, event: 'armed', by, detail: formatArming(mode) });
    }
    return tokens;
  }

  async disarm(nodes: readonly string[], by: string): Promise<void> {
    for (const node of nodes) {
      const key = grantsKey(node);
      await change(this.#store, async () => {
        const entry = await this.#store.get(key);
        const value = disarmed((entry?.value ?? {}) as GrantState);
        return { changes: entry ? [{ key, revision: entry.revision, value }] : [], result: undefined };
      });
      await this.#store.audit({ subject: node, event: 'disarmed', by });
    }
  }

  #wrongProof(node: string, { token }: GrantState, hash: string, proof: Buffer | undefined): string | undefined {
    if (proof === undefined || token === undefined) return undefined;
    const secret = Buffer.from(this.#masterKey.open(token, grantsKey(node)), 'latin1');
    return isProof(proof, secret, hash) ? undefined : 'its proof is not by the token';
  }
}

function asked({ address, isTrusted }: Peer): { peer: string; isTrusted: boolean } {
  return { peer: address, isTrusted };
}
