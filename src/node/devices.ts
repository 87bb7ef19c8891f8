/** Network devices of this machine. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readOrNothing } from './small-files.ts';

export const kernelDevices = '/sys/class/net';
/** ARPHRD_* of if_arp.h. */
const kinds = new Map<string, 'ethernet' | 'infiniband'>([
  ['1', 'ethernet'],
  ['32', 'infiniband'],
]);

export interface NetworkDevice {
  name: string;
  /** Hardware address, in lower case. */
  mac: string;
  kind: 'ethernet' | 'infiniband';
  /** Made by somebody above other devices: a bridge, a bond, a VLAN. */
  isMade: boolean;
  /** It is on a bus of the machine. */
  isHardware: boolean;
  isUp: boolean;
}

/** IFF_UP of if.h. */
const upFlag = 1;

export function isDeviceUp(name: string): boolean {
  return (Number(readOrNothing(join(kernelDevices, name, 'flags'))) & upFlag) !== 0;
}

export function networkDevices(): NetworkDevice[] {
  return readdirSync(kernelDevices).flatMap((name) => {
    const read = (file: string) => readOrNothing(join(kernelDevices, name, file)).trim();
    const kind = kinds.get(read('type'));
    const mac = read('address').toLowerCase();
    if (kind === undefined || /^[0:]*$/.test(mac)) return [];
    return [
      {
        name,
        mac,
        kind,
        isMade: /^DEVTYPE=/m.test(read('uevent')),
        isHardware: existsSync(join(kernelDevices, name, 'device')),
        isUp: isDeviceUp(name),
      },
    ];
  });
}

/** The kernel's number of a device; undefined when there is no such device. */
function indexOfDevice(name: string): string | undefined {
  return readOrNothing(join(kernelDevices, name, 'ifindex')).trim() || undefined;
}

function deviceWithIndex(index: string): string | undefined {
  return readdirSync(kernelDevices).find((name) => indexOfDevice(name) === index);
}

/** Of an address with a zone: confluent's files have numbers there, and everybody else names. */
export function nameZone(address: string): string {
  return address.replace(/%(\d+)$/, (whole, index: string) => {
    const device = deviceWithIndex(index);
    return device === undefined ? whole : `%${device}`;
  });
}

export function numberZone(address: string): string {
  return address.replace(/%(.+)$/, (whole, device: string) => {
    const index = indexOfDevice(device);
    return index === undefined ? whole : `%${index}`;
  });
}
