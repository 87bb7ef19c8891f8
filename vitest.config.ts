import { defineConfig } from 'vitest/config';

/** Tests use real parts: kernel mounts, nginx, TLS. One file at a time, so that what a file leaves behind is seen as its own. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/leftovers.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
