import { defineConfig } from 'vitest/config';
import project from '../../vitest.config.ts';

/** Whole machines, one at a time. `npm run test:boot`; what takes longer is in all/, for `npm run test:boot -- --all`. */
export default defineConfig({
  test: {
    ...project.test,
    include: ['test/boot/**/*.test.ts'],
    exclude: process.env['TETHERFS_BOOT_UPGRADED'] === undefined ? ['test/boot/all/**'] : [],
    maxWorkers: 1,
    testTimeout: 900_000,
  },
});
