/**
 * The node's key, kept by its TPM: sealed by what was measured before the node said to itself who it is, so that nothing unseals it afterwards. Keys that confluent's nodes have sealed are unsealed, and theirs
 * unseal ours: a keyedhash object, persistent in the owner hierarchy, `CONFLUENT_APIKEY:` before the key, PolicyPCR of 15 unless said otherwise.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, TetherfsError } from '../../base/errors.ts';
import { parseYaml } from '../../profile/index.ts';
import { type Bank, banks, policyDigest, sealingBanks } from './policy.ts';
import { forgetLoaded, isBusy, isByMeasurements, tpm2 } from './tools.ts';

export interface SealedKey {
  /** `0x81000000` */
  handle: string;
  key: string;
  /** By which it was unsealed. */
  pcrs: readonly number[];
}

export interface Unsealed {
  keys: readonly SealedKey[];
  /** Why what looks like a key was not unsealed: for people. */
  refused: readonly string[];
  /** Whether another try may unseal more. */
  isPassing: boolean;
}

const lockingPcr = 15;
const mark = 'CONFLUENT_APIKEY:';
/** What is measured into PCR 15 of every bank. */
const measured = 'tetherfs: this node has its key';
/** In RAM, root's alone. */
const place = '/run';

export class NodeTpm {
  /** All that PCRs are kept in. */
  readonly #banks: readonly Bank[];
  /** Keys are sealed by. */
  readonly #bank: Bank;
  readonly #pcrs: readonly number[];

  private constructor(all: readonly Bank[], bank: Bank, pcrs: readonly number[]) {
    this.#banks = all;
    this.#bank = bank;
    this.#pcrs = pcrs;
  }

  /** @param pcrs that keys are sealed by; 15 is among them always, or they could be unsealed later. @throws TetherfsError TPM, INITRAMFS */
  static async open(pcrs: readonly number[]): Promise<NodeTpm> {
    const found = parseYaml(await tpm2('getcap', ['pcrs']), 'tpm2_getcap pcrs');
    const listed = found instanceof Map ? found.get('selected-pcrs') : [];
    const all = (Array.isArray(listed) ? listed : []).flatMap((bank: unknown) =>
      bank instanceof Map ? [...bank].filter(([, numbers]) => Array.isArray(numbers) && numbers.length > 0) : [],
    );
    const present = all.map(([name]) => String(name)).filter((name): name is Bank => name in banks);
    const bank = sealingBanks.find((one) => present.includes(one));
    if (bank === undefined) throw new TetherfsError('TPM', 'the TPM has no PCRs of SHA-256, SHA-384 or SHA-512');
    return new NodeTpm(
      present,
      bank,
      [...new Set([...pcrs, lockingPcr])].sort((a, b) => a - b),
    );
  }

  /** All keys that are there. Whatever else it holds is not touched. @throws TetherfsError TPM when it cannot be asked. */
  async unseal(): Promise<Unsealed> {
    const keys: SealedKey[] = [];
    const refused: string[] = [];
    let isPassing = false;
    const listed = parseYaml(await tpm2('getcap', ['handles-persistent']), 'tpm2_getcap handles-persistent');
    const handles = (Array.isArray(listed) ? listed : []).map((handle) => `0x${Number(handle).toString(16)}`);
    const selections = this.#pcrs.length > 1 ? [this.#pcrs, [lockingPcr]] : [this.#pcrs];
    const policies = await Promise.all(
      selections.map(async (pcrs) => ({
        pcrs,
        digest: policyDigest(this.#bank, pcrs, await read(this.#selection(pcrs))),
      })),
    );
    const untouched = policyDigest(this.#bank, [lockingPcr], Buffer.alloc(banks[this.#bank].bytes));
    for (const handle of handles.toReversed()) {
      const policy = await policyOf(handle);
      if (policy === undefined) continue;
      const fitting = policies.find(({ digest }) => digest === policy);
      try {
        const data = fitting && (await this.#unsealOne(handle, fitting.pcrs));
        if (fitting !== undefined && data?.startsWith(mark))
          keys.push({ handle, key: data.slice(mark.length).trimEnd(), pcrs: fitting.pcrs });
        else if (policy === untouched)
          refused.push(
            `${handle}: PCR 15 is not as it was when the machine was switched on: it has booted since (kexec?)`,
          );
        else if (fitting === undefined) refused.push(`${handle}: sealed by other measurements than these`);
      } catch (error) {
        if (isBusy(error)) throw error;
        // Sealed by what has been measured: it would have to be given.
        isPassing ||= fitting !== undefined;
        refused.push(`${handle}: ${describeError(error)}`);
      }
    }
    return { keys, refused, isPassing };
  }

  /** @throws TetherfsError TPM; also where PCR 15 is not as the next boot will find it. */
  async seal(key: string): Promise<SealedKey> {
    if ((await read(this.#selection([lockingPcr]))).some((byte) => byte !== 0))
      throw new TetherfsError(
        'TPM',
        'PCR 15 is not as it was when the machine was switched on (kexec?), so that a key sealed now would be of no use',
      );
    return inDirectory(async (directory) => {
      const at = (name: string) => join(directory, name);
      await tpm2('startauthsession', ['--session', at('session')]);
      const selection = ['--pcr-list', this.#selection(this.#pcrs)];
      await tpm2('policypcr', ['--session', at('session'), ...selection, '--policy', at('policy')]);
      await tpm2('flushcontext', [at('session')]);
      const primary = ['--parent-context', at('primary')];
      const object = ['--public', at('public'), '--private', at('private')];
      try {
        await tpm2('createprimary', ['--hierarchy', 'o', '--key-algorithm', 'ecc', '--key-context', at('primary')]);
        await forgetLoaded();
        const sealing = ['--policy', at('policy'), '--sealing-input', '-', '--attributes', 'fixedtpm|fixedparent|noda'];
        await tpm2('create', [...primary, ...sealing, ...object], `${mark}${key}\n`);
        await forgetLoaded();
        await tpm2('load', [...primary, '--key-context', at('sealed'), ...object]);
        await forgetLoaded();
        const kept = await tpm2('evictcontrol', ['--hierarchy', 'o', '--object-context', at('sealed')]);
        const [, handle] = /^persistent-handle: (0x[0-9a-f]+)$/im.exec(kept) ?? [];
        if (handle === undefined) throw new TetherfsError('TPM', `tpm2_evictcontrol says: ${kept.trim()}`);
        return { handle: handle.toLowerCase(), key, pcrs: this.#pcrs };
      } finally {
        await forgetLoaded();
      }
    });
  }

  async evict(handle: string): Promise<void> {
    await tpm2('evictcontrol', ['--hierarchy', 'o', '--object-context', handle]);
  }

  /** From now on until the machine is switched off nothing unseals. @param proof keys that must not be unsealed any more. @throws TetherfsError TPM when they can be, or when that cannot be told. */
  async lock(proof: readonly SealedKey[]): Promise<void> {
    const before = await this.#readAll();
    const digests = this.#banks.map((bank) => `${bank}=${createHash(bank).update(measured).digest('hex')}`);
    await tpm2('pcrextend', [`${lockingPcr}:${digests.join(',')}`]);
    const after = await this.#readAll();
    for (const [index, bank] of this.#banks.entries())
      if (before[index]?.equals(after[index] ?? Buffer.alloc(0)) !== false)
        throw new TetherfsError('TPM', `PCR 15 of ${bank} has not changed`);
    for (const { handle, pcrs } of proof) {
      try {
        await this.#unsealOne(handle, pcrs);
      } catch (error) {
        if (isByMeasurements(error)) continue;
        throw error;
      }
      throw new TetherfsError('TPM', `the key ${handle} can be unsealed still`);
    }
  }

  #selection(pcrs: readonly number[]): string {
    return `${this.#bank}:${pcrs.join(',')}`;
  }

  /** PCR 15 of each bank. */
  async #readAll(): Promise<Buffer[]> {
    const all = await read(this.#banks.map((bank) => `${bank}:${lockingPcr}`).join('+'));
    let at = 0;
    return this.#banks.map((bank) => {
      const begin = at;
      at += banks[bank].bytes;
      return all.subarray(begin, at);
    });
  }

  #unsealOne(handle: string, pcrs: readonly number[]): Promise<string> {
    return inDirectory(async (directory) => {
      const session = join(directory, 'session');
      await tpm2('startauthsession', ['--policy-session', '--session', session]);
      try {
        await tpm2('policypcr', ['--session', session, '--pcr-list', this.#selection(pcrs)]);
        return await tpm2('unseal', ['--object-context', handle, '--auth', `session:${session}`]);
      } finally {
        await tpm2('flushcontext', [session]).catch(() => {});
      }
    });
  }
}

/** @param selection of PCRs. @returns their values, one after the other. */
function read(selection: string): Promise<Buffer> {
  return inDirectory(async (directory) => {
    await tpm2('pcrread', [selection, '--output', join(directory, 'values')]);
    return readFile(join(directory, 'values'));
  });
}

/** Of what may be a sealed key, in hexadecimal digits; undefined of anything else. */
async function policyOf(handle: string): Promise<string | undefined> {
  const shown = await tpm2('readpublic', ['--object-context', handle]).catch((error: unknown) => {
    if (isBusy(error)) throw error;
    return '';
  });
  const [, policy] = /^authorization policy: ([0-9a-f]+)$/im.exec(shown) ?? [];
  return /^\s*value: keyedhash$/m.test(shown) ? policy?.toLowerCase() : undefined;
}

async function inDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(existsSync(place) ? place : '/tmp', 'tetherfs-tpm-'));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
