/** What a key is sealed by: values of some PCRs. TPM 2.0 Library, part 3, TPM2_PolicyPCR; a session of SHA-256, whatever the bank. */
import { createHash } from 'node:crypto';

/** TPM_ALG_* of part 2, 6.3. */
export const banks = {
  sha1: { id: 0x0004, bytes: 20 },
  sha256: { id: 0x000b, bytes: 32 },
  sha384: { id: 0x000c, bytes: 48 },
  sha512: { id: 0x000d, bytes: 64 },
} as const;
export type Bank = keyof typeof banks;

/** Keys are sealed by these, the first that a TPM has. */
export const sealingBanks: readonly Bank[] = ['sha256', 'sha512', 'sha384'];

const policyPcr = 0x0000_017f;
const selectBytes = 3;

/** @param values of the PCRs, one after the other. @returns in hexadecimal digits. */
export function policyDigest(bank: Bank, pcrs: readonly number[], values: Uint8Array): string {
  const selection = Buffer.alloc(4 + 2 + 1 + selectBytes);
  selection.writeUInt32BE(1, 0);
  selection.writeUInt16BE(banks[bank].id, 4);
  selection.writeUInt8(selectBytes, 6);
  for (const pcr of pcrs) selection.writeUInt8(selection.readUInt8(7 + (pcr >> 3)) | (1 << (pcr & 7)), 7 + (pcr >> 3));
  const command = Buffer.alloc(4);
  command.writeUInt32BE(policyPcr);
  const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  return hash(Buffer.alloc(32), command, selection, hash(values)).toString('hex');
}
