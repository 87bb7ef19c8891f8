import { defineConfig } from 'vitest/config';
import { sandboxPool } from './test/support/sandbox-pool.ts';

/** Tests use real parts: kernel mounts, nginx, TLS. Two files at a time, each in a sandbox of its own: what it leaves behind is seen as its own. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They take minutes: npm run test:boot.
    exclude: ['test/boot/**'],
    setupFiles: ['test/support/leftovers.ts'],
    pool: sandboxPool,
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
