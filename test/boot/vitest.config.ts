import { defineConfig } from 'vitest/config';
import project from '../../vitest.config.ts';

/** Whole machines, one at a time. `npm run test:boot`. */
export default defineConfig({
  test: {
    ...project.test,
    include: ['test/boot/**/*.test.ts'],
    exclude: [],
    maxWorkers: 1,
    testTimeout: 900_000,
  },
});
