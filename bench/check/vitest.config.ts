import { defineConfig } from 'vitest/config';
import project from '../../vitest.config.ts';

/** What benches are measured with, measured itself: durations and rates, so for a machine with nothing else to do. `npm run bench:check`. */
export default defineConfig({ test: { ...project.test, include: ['bench/check/**/*.test.ts'] } });
