/** Under which keys a member keeps what (store/contract.ts). */
export const defaultsKey = 'defaults';
export const siteKey = 'site';
export const nodePrefix = 'node/';
export const nodeKey = (node: string) => `${nodePrefix}${node}`;
export const grantsKey = (node: string) => `grant/${node}`;
/** `uuid` or `mac` of a node, in lower case. */
export const identityKey = (kind: 'uuid' | 'mac', value: string) => `by/${kind}/${value}`;
export const authorityPrefix = (kind: 'ssh' | 'tls') => `authority/${kind}/`;
