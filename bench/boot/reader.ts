/**
 * Reads the files that a boot opens, in its order, one after the other, whole, as a boot does with programs, libraries and
 * configuration.
 *
 *     node reader.ts DIRECTORY LIST    LIST has a path below DIRECTORY on each line that begins with a slash
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';

const [directory = '', list = ''] = process.argv.slice(2);
const buffer = Buffer.allocUnsafe(128 * 1024);
for (const path of readFileSync(list, 'utf8').split('\n')) {
  if (!path.startsWith('/')) continue;
  const file = openSync(join(directory, path), 'r');
  while (readSync(file, buffer, 0, buffer.length, null) > 0);
  closeSync(file);
}
