/** The other side does not keep to the protocol: the connection is closed, and nothing else happens. */
export class ProtocolError extends Error {}
