/** machine-id(5), the same at each boot of a node: as upstream makes it, of its name and its machine's UUID. */
import { createHash } from 'node:crypto';

/** @param uuid of the machine (DMI); empty where it has none. */
export function machineIdOf(node: string, uuid: string): string {
  return createHash('sha512').update(`${node}\n${uuid.trim()}`).digest('hex').slice(0, 32);
}
