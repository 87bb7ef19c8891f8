/** Whether this machine has a TPM 2.0 that can be asked. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadModule } from '../programs.ts';
import { readOrNothing } from '../small-files.ts';

/** Who shares it between several, in the kernel. */
const device = '/dev/tpmrm0';
/** What the firmware says of one, whether or not there is a driver. */
const firmwareTable = '/sys/firmware/acpi/tables/TPM2';
const kernelClass = '/sys/class/tpm';
const versionFile = `${kernelClass}/tpm0/tpm_version_major`;
/** A driver may find its device late; ms. */
const patienceMs = 5_000;
const lookMs = 100;

/** Undefined: there is one. @param machine where its /dev and /sys are. @returns why there is none, for people. */
export async function whyNoTpm(machine = '/'): Promise<string | undefined> {
  const at = (path: string) => join(machine, path);
  const isThere = () => existsSync(at(device));
  const isExpected = () => existsSync(at(firmwareTable)) || isListed(at(kernelClass));
  const isOld = () => readOrNothing(at(versionFile)).trim() === '1';
  // Whoever says how it is to be reached has one.
  if (process.env['TPM2TOOLS_TCTI'] !== undefined) return undefined;
  for (const driver of ['tpm_tis', 'tpm_crb']) await loadModule(driver);
  for (let waited = 0; !isThere() && isExpected() && waited < patienceMs; waited += lookMs) {
    if (isOld()) break;
    await sleep(lookMs);
  }
  if (isThere()) return undefined;
  if (isOld()) return 'its TPM is of version 1.2';
  return isExpected() ? `its TPM has no ${device}: is its driver in the initramfs?` : 'it has no TPM';
}

function isListed(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).length > 0;
}
