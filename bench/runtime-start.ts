/**
 * Start of a runtime's command line, beside that of Node.js doing nothing
 *
 * Claim: at most twice as long. It is what the boot of a node pays several times over. The runtime must have been built: npm run build:runtime.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Measured, printFigures } from './support/figures.ts';
import { benchOptions } from './support/options.ts';

const { runs } = benchOptions({ runs: 40, imageMiB: 1 });
const runtime = fileURLToPath(new URL('../build/runtime/', import.meta.url));

const node: Measured = { name: 'node -e 0', unit: 'ms', values: [] };
const tetherfs: Measured = { name: 'tetherfs --version', unit: 'ms', values: [] };
for (let run = 0; run < runs; run++) {
  node.values.push(time(`${runtime}bin/node`, '-e', '0'));
  tetherfs.values.push(time(`${runtime}tetherfs`, '--version'));
}
console.log(`from the start to the end of the process, ${runs} runs`);
printFigures([node, tetherfs], node.name);

function time(program: string, ...words: string[]): number {
  const startedAt = performance.now();
  execFileSync(program, words, { stdio: 'ignore' });
  return performance.now() - startedAt;
}
