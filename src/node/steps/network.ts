/**
 * Waits until the network that the initramfs' tools set up can be used: an address that is no longer looked at for duplicates, a route to a member, and
 * a carrier where it leads out. The members themselves are the daemon's business.
 */
import { createSocket } from 'node:dgram';
import { existsSync, readdirSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../base/errors.ts';
import { parseFileUrl } from '../../base/file-url.ts';
import { type MemberUrl, memberUrl } from '../../members/index.ts';
import { readOrNothing } from '../small-files.ts';
import type { BootConsole } from '../step.ts';

const lookEveryMs = 100;
/** When it is said what is waited for: after so long, and then again after as long. */
const sayEveryMs = 5_000;

export interface NetworkWait {
  /** URLs; one that can be reached is enough. */
  members: readonly string[];
  console: BootConsole;
  signal: AbortSignal;
}

/** @throws AbortError */
export async function waitForNetwork({ members, console, signal }: NetworkWait): Promise<void> {
  const urls = members.map((url) => memberUrl(parseFileUrl(url)));
  for (let waited = 0; ; waited += lookEveryMs) {
    const obstacles = await Promise.all(urls.map(obstacleTo));
    if (obstacles.includes(undefined)) return;
    if (waited % sayEveryMs === 0 && waited > 0) {
      console.say(`waiting for the network: ${[...new Set(obstacles), ...linkLines()].join('; ')}`);
    }
    await sleep(lookEveryMs, undefined, { signal });
  }
}

/** Undefined: what is sent there leaves the machine. */
async function obstacleTo({ hostname, address, port }: MemberUrl): Promise<string | undefined> {
  // A name: whoever has an address may ask for it.
  if (address === undefined) {
    if (globalAddresses().length === 0) return `no address yet to ask for ${hostname} from`;
    return canLookUp(hostname) ? undefined : `no name server yet to ask for ${hostname} (/etc/resolv.conf)`;
  }
  try {
    const source = await sourceAddress(address, port);
    if (deviceWith(source) !== undefined) return undefined;
    return `on the way to ${address} there is no carrier, or no address that is confirmed`;
  } catch (error) {
    return `no way to ${address} (${describeError(error)})`;
  }
}

/** The one that the kernel would send from, `::` when none is confirmed yet; nothing is sent. */
export function sourceAddress(host: string, port: number): Promise<string> {
  const socket = createSocket(isIPv4(host) ? 'udp4' : 'udp6');
  return new Promise<string>((resolve, reject) => {
    socket.on('error', reject);
    // Its callback is told of errors as well, whatever the types say.
    socket.connect(port, host, (error?: Error) =>
      error === undefined || error === null ? resolve(socket.address().address) : reject(error),
    );
  }).finally(() => socket.close());
}

/** Which of ours has that address; those without a carrier are not among these. */
export function deviceWith(address: string): string | undefined {
  const bare = address.replace(/%.*/, '');
  return Object.entries(networkInterfaces()).find(([, found = []]) => found.some((one) => one.address === bare))?.[0];
}

function canLookUp(hostname: string): boolean {
  return /^\s*nameserver\s/m.test(readOrNothing('/etc/resolv.conf')) || readOrNothing('/etc/hosts').includes(hostname);
}

function globalAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((found = []) =>
    found.filter(({ internal, scopeid = 0 }) => !internal && scopeid === 0).map(({ address }) => address),
  );
}

function hasCarrier(device: string): boolean {
  return readLink(device, 'carrier') !== '0';
}

/** Empty: a link that is down does not say. */
function readLink(device: string, what: string): string {
  return readOrNothing(`/sys/class/net/${device}/${what}`).trim();
}

const tentative = 0x40;
const duplicate = 0x08;

/** One line a network device: what it lacks. */
function linkLines(): string[] {
  // Beside them lies a file of the bonding driver.
  const devices = readdirSync('/sys/class/net').filter(
    (name) => name !== 'lo' && existsSync(`/sys/class/net/${name}/ifindex`),
  );
  if (devices.length === 0) return ['there is no network device: is its driver in the initramfs?'];
  const addresses = networkInterfaces();
  return devices.map((device) => {
    if (readLink(device, 'carrier') === '') return `${device} is down`;
    if (!hasCarrier(device)) return `${device} has no carrier`;
    const inSixth = sixthFlags(device);
    if (inSixth.some((flags) => (flags & duplicate) !== 0)) return `${device}: another machine has its IPv6 address`;
    if (inSixth.some((flags) => (flags & tentative) !== 0)) return `${device}: its IPv6 address is not confirmed yet`;
    const found = addresses[device]?.map(({ address }) => address) ?? [];
    return `${device} has ${found.length === 0 ? 'no address' : found.join(', ')}`;
  });
}

/** IFA_F_* of its IPv6 addresses. if_addr.h. */
function sixthFlags(device: string): number[] {
  return readOrNothing('/proc/net/if_inet6')
    .split('\n')
    .map((line) => line.trim().split(/ +/))
    .filter((fields) => fields[5] === device)
    .map((fields) => Number.parseInt(fields[4] ?? '0', 16));
}
