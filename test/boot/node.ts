/** What is asked of a machine that has booted. */
import { type Status, statusSchema } from '../../src/mount/status.ts';
import { waitUntil } from '../support/wait-until.ts';
import type { Machine } from './machine.ts';

/** Where the image is mounted on it. */
export const image = '/run/initramfs/tetherfs/image';
/** A line of whoever is not content. */
export const complaint = /fail|could not|cannot|error/i;

const patience = { timeoutMs: 120_000 };
/** Bytes that a file system without files may differ by. */
const ramTolerance = 20 * 1024 * 1024;

export async function statusOf(machine: Machine): Promise<Status> {
  return statusSchema.parse(JSON.parse(await machine.run(`tetherfs status --json ${image}`)));
}

/** @returns the process id of the daemon after `pid`. */
export function successorOf(machine: Machine, pid: number): Promise<number> {
  const probe = async () => {
    const found = await statusOf(machine);
    return found.pid !== pid && found.pid;
  };
  return waitUntil('a successor answers', probe, patience);
}

/** A line each; empty when there are none. */
export async function failedUnits(machine: Machine): Promise<string> {
  return (await machine.run('systemctl --failed --no-legend --plain')).trim();
}

/** Bytes of RAM that what is written takes. */
async function ramUsed(machine: Machine): Promise<number> {
  return Number((await machine.run('sync; cat /sys/block/zram1/mm_stat')).trim().split(/ +/)[2]);
}

/** Writes 200 MiB that cannot be compressed, and deletes them. @returns bytes of RAM that this took, and that came back by itself. */
export async function writeAndDelete(machine: Machine): Promise<{ taken: number; givenBack: number }> {
  const before = await ramUsed(machine);
  await machine.run('dd if=/dev/urandom of=/large bs=1M count=200 status=none');
  const full = await ramUsed(machine);
  await machine.run('rm /large');
  const probe = async () => {
    const now = await ramUsed(machine);
    return now - before < ramTolerance && now;
  };
  const after = await waitUntil('what was deleted is given back', probe, patience);
  return { taken: full - before, givenBack: full - after };
}

/** Tries to get the node's key from its TPM, as its boot has done. @returns what the TPM's tools said, and their status. */
export function unsealed(machine: Machine): Promise<string> {
  return machine.run(`
    export TPM2TOOLS_TCTI=device:/dev/tpmrm0; cd /run
    tpm2_startauthsession --policy-session -S s; tpm2_policypcr -Q -S s -l sha256:15
    tpm2_unseal -c 0x81000000 -p session:s; echo "status $?"; tpm2_flushcontext s`);
}
