/** Addresses as sockets have them. */

/** Without a zone, and without the form that IPv4 has on a socket of both. */
export function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
