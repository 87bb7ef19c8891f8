/**
 * The node's key as its TPM keeps it, beside what the members make of it: one that they believe spares a grant; one that they refuse is replaced, and only removed when nobody can want it any more. A TPM that
 * cannot be used costs a grant at each boot, and is told of.
 */
import { describeError } from '../base/errors.ts';
import type { ApiAnswer, MemberApi } from './member-api.ts';
import type { BootConsole, Lack } from './step.ts';
import { whyNoTpm } from './tpm/device.ts';
import { NodeTpm, type SealedKey } from './tpm/node-tpm.ts';

export interface Believed {
  key: string;
  /** What a member has said of the node by it. */
  deploycfg: Buffer;
}

export class KeyOfTpm {
  readonly #tpm: NodeTpm | undefined;
  readonly #console: BootConsole;
  /** Why there is none that can be used. */
  readonly #why: string;
  #keys: readonly SealedKey[] = [];
  /** The one that the members have believed. */
  #used: SealedKey | undefined;
  /** By the handle of a key: what the members have said of it last. */
  readonly #said = new Map<string, readonly ApiAnswer[]>();

  private constructor(tpm: NodeTpm | undefined, why: string, console: BootConsole) {
    this.#tpm = tpm;
    this.#why = why;
    this.#console = console;
  }

  static async open(pcrs: readonly number[], console: BootConsole): Promise<KeyOfTpm> {
    const why = await whyNoTpm();
    if (why !== undefined) return new KeyOfTpm(undefined, why, console);
    try {
      const opened = new KeyOfTpm(await NodeTpm.open(pcrs), '', console);
      await opened.#unseal();
      return opened;
    } catch (error) {
      return new KeyOfTpm(undefined, describeError(error), console);
    }
  }

  async #unseal(): Promise<void> {
    const { keys, refused } = (await this.#tpm?.unseal()) ?? { keys: [], refused: [] };
    this.#keys = keys;
    for (const why of refused) this.#console.say(`the TPM does not give the key ${why}`);
  }

  /** What the members say of the keys that there are; for who waits for a grant. Empty, or ends in a blank. */
  get refusal(): string {
    const all = [...this.#said.values()].flat().filter(({ kind }) => kind === 'refused');
    const members = [...new Set(all.map(({ member }) => member))];
    return members.length === 0 ? '' : `the key of the TPM is refused by ${members.join(', ')}; `;
  }

  /** The first that a member believes. Undefined: there is none, and a grant is to be asked for. @throws what ends the boot, TetherfsError API when no member says anything: then the key may be good. */
  async first(apiWith: (key: string) => MemberApi): Promise<Believed | undefined> {
    for (const sealed of this.#keys) {
      const answers = await apiWith(sealed.key).ask('deploycfg2');
      const last = answers.at(-1);
      if (last?.kind === 'ok') {
        this.#used = sealed;
        return { key: sealed.key, deploycfg: last.body };
      }
      this.#said.set(sealed.handle, answers);
    }
    return undefined;
  }

  /** Seals a key that was granted, removes those that nobody wants any more, and locks the TPM until the machine is switched off. */
  async keepAndLock(key: string, lack: Lack): Promise<void> {
    const tpm = this.#tpm;
    if (tpm === undefined) {
      this.#console.say(`${this.#why}: this node asks for a key at each boot`);
      return;
    }
    if (this.#used === undefined) {
      await this.#keep(tpm, key).catch((error: unknown) => {
        lack(`the key of this node is not kept, and asked for at the next boot: ${describeError(error)}`);
      });
    }
    await tpm.lock(this.#keys).catch((error: unknown) => {
      lack(`whoever is root here can get the key from the TPM: ${describeError(error)}`);
    });
  }

  async #keep(tpm: NodeTpm, key: string): Promise<void> {
    const kept = await tpm.seal(key);
    const before = this.#keys;
    this.#keys = [kept, ...before];
    this.#console.say(`the TPM keeps the key of this node (${kept.handle})`);
    for (const old of before) {
      if (!isUnwanted(this.#said.get(old.handle) ?? [])) continue;
      try {
        await tpm.evict(old.handle);
        this.#keys = this.#keys.filter((one) => one !== old);
      } catch (error) {
        this.#console.say(`the TPM keeps ${old.handle}, too, which nobody wants any more: ${describeError(error)}`);
      }
    }
  }
}

/**
 * Two members have refused it; or the only one that there is has, and then given another that works. Whoever could not be asked may be another member that wants it: a store that is behind must not cost a
 * node its key.
 */
function isUnwanted(answers: readonly ApiAnswer[]): boolean {
  const refusing = new Set(answers.flatMap((answer) => (answer.kind === 'refused' ? [answer.by] : [])));
  return refusing.size >= 2 || (refusing.size === 1 && answers.every(({ kind }) => kind === 'refused'));
}
