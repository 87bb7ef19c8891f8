/** Under which keys a member keeps what (store/contract.ts). */
export const defaultsKey = 'defaults';
export const siteKey = 'site';
export const nodePrefix = 'node/';
export const nodeKey = (node: string) => `${nodePrefix}${node}`;
export const grantsKey = (node: string) => `grant/${node}`;
/** `uuid` or `mac` of a node, in lower case. */
export const identityKey = (kind: 'uuid' | 'mac', value: string) => `by/${kind}/${value}`;
/** Of ssh host certificates, of whichever authority: which comes next, and which are worth nothing any more. */
export const sshSerialsKey = 'serials/ssh';
export const authorityPrefix = (kind: 'ssh' | 'tls') => `authority/${kind}/`;
