/** Imported first: every mount of the file is by libfuse (test/support/transport.ts). */
import { afterAll } from 'vitest';

process.env['TETHERFS_TEST_TRANSPORT'] = 'libfuse';
afterAll(() => {
  delete process.env['TETHERFS_TEST_TRANSPORT'];
});
