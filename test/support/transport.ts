/**
 * Which transport the mounts of this run have: the tests of what both can do run over each (test/mount/libfuse). What libfuse cannot do, and
 * docs/transports.md says so, is asked of the other alone.
 */
import { it } from 'vitest';

export const transport = process.env['TETHERFS_TEST_TRANSPORT'] ?? 'kernel';

/** Options of `tetherfs mount`, before the test's own. */
export const transportOptions: readonly string[] = transport === 'kernel' ? [] : ['--transport', transport];

/** A test of what libfuse cannot do. */
export const itByKernel = it.skipIf(transport === 'libfuse');
