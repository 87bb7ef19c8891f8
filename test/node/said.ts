/** What the sources of a node say in errors and warnings, told from their text: the longest piece of each that never changes. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('../../src', import.meta.url));
/** Where each begins: the text is the last argument but the options. */
const beginnings =
  /(?:new TetherfsError\(\s*(?:'[A-Z_]+'|[^'",]+),|new (?:Usage)?Error\(|new SenselessAnswer\(|\black\(|\.say\(|#sayOnce\(|codes\.\w+,|\brefused\.push\(|\breturn (?:isExpected\(\) \? )?(?=['"`](?:it|its) ))\s*(?=['"`])/g;

export function whatNodesSay(): string[] {
  const files = globSync(['node/**/*.ts', 'profile/boot-settings.ts'], { cwd: sources });
  return files.sort().flatMap((file) => {
    const text = readFileSync(join(sources, file), 'utf8');
    return [...text.matchAll(beginnings)].map(({ index, 0: before }) =>
      longestPiece(text.slice(index + before.length)),
    );
  });
}

/** @param text begins with a quote. */
function longestPiece(text: string): string {
  const quote = text.charAt(0);
  const pieces: string[] = [];
  let piece = '';
  let depth = 0;
  for (let at = 1; at < text.length; at++) {
    if (depth === 0 && text[at] === quote) break;
    if (quote === '`' && text.startsWith('${', at)) {
      if (depth++ === 0) pieces.push(piece);
      piece = '';
      at++;
    } else if (depth > 0) {
      if (text[at] === '{') depth++;
      if (text[at] === '}') depth--;
    } else piece += text[at] === '\\' ? text[++at] : text[at];
  }
  return [...pieces, piece].reduce((longest, one) => (one.length > longest.length ? one : longest)).trim();
}
