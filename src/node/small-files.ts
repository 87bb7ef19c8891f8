/** Small files of the kernel's and of the initramfs, which may not be there. */
import { readFileSync } from 'node:fs';
import { errorCode } from '../base/errors.ts';

/** Undefined when there is none. @throws Error of the system call when it cannot be read. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Of this machine, as its firmware has it (dmi-sysfs); empty where it has none. */
export function machineUuid(): string {
  return readOrNothing('/sys/class/dmi/id/product_uuid').trim();
}

/** Empty when there is none, or the kernel does not say: of a link that is down, for one. */
export function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
