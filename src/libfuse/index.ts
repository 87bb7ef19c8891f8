/** The second transport: libfuse 2 through the package fuse-native. */
export { detach } from './detach.ts';
export { type LibfuseSession, largestRead, mountByLibfuse } from './session.ts';
