/** The demo's command: node main.ts ROOT MANIFEST IMAGE-DIRECTORY, as demo/prepare prints them. Run it by scripts/demo. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderMembers } from '../src/mount/status-text.ts';
import { packedImage } from '../test/support/packed-image.ts';
import { describeFailure } from './failure.ts';
import { type DemoResult, runDemo } from './run.ts';

const program = `
import sys, zlib
primes = [n for n in range(2, 2000) if all(n % d for d in range(2, int(n ** 0.5) + 1))]
print(f"Python {sys.version.split()[0]} says that there are {len(primes)} primes below 2000")
`;

function closingTable({ atTheEnd, afterReading, reader }: DemoResult): string {
  const { reads, cache } = atTheEnd;
  return [
    renderMembers(atTheEnd.members),
    `cache: ${reads.cached} hits, ${reads.waited} misses, ${cache.chunksPrefetched} chunks prefetched, ${cache.chunksEvicted} evicted`,
    `longest wait of any read, measured by the reading process: ${Math.round(reader.longestWaitMs)} ms (in ${reader.longestWaitAt}); reads failed: ${afterReading.reads.failed}`,
  ].join('\n');
}

const [root = '', manifestFile = '', imageDirectory = ''] = process.argv.slice(2);
const say = (line: string) => console.log(`demo: ${line}`);
try {
  if (process.env['TETHERFS_SANDBOX'] === undefined) throw new Error('run it by scripts/demo, which makes a sandbox');
  say(`the original: ${root}`);
  const result = await runDemo({
    image: packedImage(imageDirectory, readFileSync(join(imageDirectory, 'packed'), 'utf8')),
    manifest: readFileSync(manifestFile, 'utf8'),
    program: ['/usr/bin/python3', '-c', program],
    linkRate: '60mbit',
    say,
  });
  console.log(`\n${closingTable(result)}`);
} catch (error) {
  console.error(`demo: FAILED: ${describeFailure(error)}`);
  process.exitCode = 1;
}
