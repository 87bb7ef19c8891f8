/**
 * The node's key as its TPM keeps it, beside what the members make of it: one that they believe spares a grant; one that they refuse is replaced, and only removed when nobody can want it any more. A TPM that
 * cannot be used costs a grant at each boot, and is told of.
 */
import { describeError } from '../base/errors.ts';
import { askDeploycfg } from './deploycfg.ts';
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
  readonly #pcrs: readonly number[];
  readonly #console: BootConsole;
  /** Why there is none; undefined: there is one. */
  readonly #why: string | undefined;
  #tpm: NodeTpm | undefined;
  /** Whether all of its keys are known. */
  #isRead = false;
  readonly #told = new Set<string>();
  #keys: readonly SealedKey[] = [];
  /** The one that the members have believed. */
  #used: SealedKey | undefined;
  /** By the handle of a key: what the members have said of it last. */
  readonly #said = new Map<string, readonly ApiAnswer[]>();

  private constructor(pcrs: readonly number[], why: string | undefined, console: BootConsole) {
    this.#pcrs = pcrs;
    this.#why = why;
    this.#console = console;
  }

  static async open(pcrs: readonly number[], console: BootConsole): Promise<KeyOfTpm> {
    return new KeyOfTpm(pcrs, await whyNoTpm(), console);
  }

  /** It may be busy, or test itself: then it is asked again at the next try. */
  async #read(): Promise<void> {
    if (this.#why !== undefined || this.#isRead) return;
    try {
      this.#tpm ??= await NodeTpm.open(this.#pcrs);
      const { keys, refused, isPassing } = await this.#tpm.unseal();
      this.#keys = keys;
      for (const why of refused) this.#sayOnce(`the TPM does not give the key ${why}`);
      this.#isRead = !isPassing;
    } catch (error) {
      this.#sayOnce(`the TPM gives no key: ${describeError(error)}`);
    }
  }

  #sayOnce(line: string): void {
    if (!this.#told.has(line)) this.#console.say(line);
    this.#told.add(line);
  }

  /** What the members say of the keys that there are; for who waits for a grant. Empty, or ends in a blank. */
  get refusal(): string {
    const all = [...this.#said.values()].flat().filter(({ kind }) => kind === 'refused');
    const members = [...new Set(all.map(({ member }) => member))];
    return members.length === 0 ? '' : `the key of the TPM is refused by ${members.join(', ')}; `;
  }

  /** The first that a member believes. Undefined: there is none, and a grant is to be asked for. */
  async first(apiWith: (key: string) => MemberApi): Promise<Believed | undefined> {
    await this.#read();
    for (const sealed of this.#keys) {
      const answers = await askDeploycfg(apiWith(sealed.key));
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
    if (this.#why !== undefined) {
      this.#console.say(`${this.#why}: this node asks for a key at each boot`);
      return;
    }
    try {
      this.#tpm ??= await NodeTpm.open(this.#pcrs);
    } catch (error) {
      lack(`the TPM keeps no key, and cannot be locked: ${describeError(error)}`);
      return;
    }
    const tpm = this.#tpm;
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
