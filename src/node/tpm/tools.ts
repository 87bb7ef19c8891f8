/**
 * tpm2-tools, as every distribution has them; what is secret goes by standard input and comes by standard output. What the TPM answers is told apart by its response code
 * (TCG, TPM 2.0 Library, part 2, 6.6), which the tools print in brackets.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, errorCode, TetherfsError } from '../../base/errors.ts';
import { run } from '../programs.ts';

/** TPM_RC_*; of those about a handle, session or parameter its number is left out. */
const codes = {
  lockout: 0x921,
  retry: 0x922,
  yielded: 0x908,
  testing: 0x90a,
  noSpace: 0x14b,
  objectMemory: 0x902,
  badAuth: 0x0a2,
  authFail: 0x08e,
  policyFail: 0x09d,
} as const;

const busy = 'the TPM is busy: with somebody else, or with testing itself';
const otherMeasurements = 'its measurements are others than those that the key was sealed by';

const meanings: readonly [code: number, words: string][] = [
  [
    codes.lockout,
    'the TPM is locked: too many wrong tries, or machines that were switched off; tpm2_dictionarylockout --clear-lockout ends that',
  ],
  [
    codes.noSpace,
    'the TPM has no room for another key: tpm2_getcap handles-persistent shows what there is, tpm2_evictcontrol removes it',
  ],
  [codes.objectMemory, 'the TPM is full of what others have loaded'],
  [codes.badAuth, 'the owner of the TPM has a password'],
  [codes.authFail, 'the owner of the TPM has a password'],
  [codes.policyFail, otherMeasurements],
];
const passing = new Set<number>([codes.retry, codes.yielded, codes.testing]);

/** The kernel's own way of sharing it, unless somebody says another; nobody else is looked for. */
const usual = 'device:/dev/tpmrm0';

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, TPM2TOOLS_TCTI: process.env['TPM2TOOLS_TCTI'] ?? usual };
}

/** Takes what the tools have loaded out of the TPM again, which has room for three; the kernel does that by itself. */
export async function forgetLoaded(): Promise<void> {
  if (environment()['TPM2TOOLS_TCTI'] !== usual) await tpm2('flushcontext', ['--transient-object']);
}

/** Ten seconds: a TPM that tests itself says so, too. */
const tries = 50;
const pauseMs = 200;

/** @returns what it printed. @throws TetherfsError TPM in words, INITRAMFS when there are no such tools. */
export async function tpm2(tool: string, words: readonly string[], input = ''): Promise<string> {
  for (let left = tries - 1; ; left--) {
    try {
      return await run(`tpm2_${tool}`, words, { package: 'tpm2-tools', input, env: environment() });
    } catch (error) {
      if (errorCode(error) !== 'PROGRAM') throw error;
      const code = responseCode(describeError(error));
      const isPassing = code === undefined ? /Device or resource busy/i.test(describeError(error)) : passing.has(code);
      if (isPassing && left === 0) throw new TetherfsError('TPM', busy, { cause: error });
      if (!isPassing) throw explained(error, code);
      await sleep(pauseMs);
    }
  }
}

/** Whether it may well answer the next time. */
export function isBusy(error: unknown): boolean {
  return errorCode(error) === 'TPM' && describeError(error) === busy;
}

/** Whether what was asked for is refused because of what has been measured. */
export function isByMeasurements(error: unknown): boolean {
  return errorCode(error) === 'TPM' && describeError(error) === otherMeasurements;
}

function explained(error: unknown, code: number | undefined): TetherfsError {
  const words = meanings.find(([known]) => known === code)?.[1];
  return new TetherfsError('TPM', words ?? describeError(error), { cause: error });
}

/** Without what tells which handle, session or parameter is meant. */
function responseCode(text: string): number | undefined {
  const [, hex] = /\(0x([0-9a-f]+)\)/i.exec(text) ?? [];
  if (hex === undefined) return undefined;
  // Above these bits is the layer of software that says it.
  const code = Number.parseInt(hex, 16) & 0xfff;
  const isFormatOne = (code & 0x080) !== 0;
  return isFormatOne ? code & 0x0bf : code;
}
