/** The second transport: libfuse 2 through the package fuse-native. */
export { type LibfuseSession, largestRead, mountByLibfuse } from './session.ts';
