/** Addresses that a server is told to listen on, and why it cannot. */
import { describeError, errorCode, UsageError } from './errors.ts';

export type ListenAddress = { path: string } | { host: string; port: number };

/** @throws UsageError when it is neither `unix:PATH` nor an address with a port. */
export function parseListenAddress(address: string, option: string): ListenAddress {
  if (address.startsWith('unix:/')) return { path: address.slice('unix:'.length) };
  const [, bracketed, bare, port = ''] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? bare;
  if (host !== undefined && Number(port) <= 65535) return { host, port: Number(port) };
  throw new UsageError(`${option}: "${address}" is not ADDRESS:PORT or unix:/PATH, e.g. 127.0.0.1:9464`);
}

export function describeListenError(cause: unknown): string {
  switch (errorCode(cause)) {
    case 'EADDRINUSE':
      return 'another program listens there; give another port';
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    case 'EACCES':
      return 'only root may listen there';
    default:
      return describeError(cause);
  }
}
