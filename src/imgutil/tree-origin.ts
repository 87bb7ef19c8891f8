/** `/etc/confluentimg.buildinfo` of a tree: when and for what processor it was built, and of what medium. The form is confluent's. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf, fileInside, placeOf } from '../base/tree-entry.ts';

const place = '/etc/confluentimg.buildinfo';

export interface TreeOrigin {
  /** rpm's name. */
  readonly architecture: string;
  /** Its directory on this machine; undefined: none. */
  readonly medium: string | undefined;
}

/** Built now. @param tree its real path. */
export async function writeOrigin(tree: string, { architecture, medium }: TreeOrigin): Promise<void> {
  const lines = {
    BUILDDATE: new Date().toISOString().slice(0, 16),
    ARCH: architecture,
    ...(medium !== undefined && { BUILDSRC: medium }),
  };
  const text = Object.entries(lines).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(join(tree, place), text.join(''));
}

/** The medium's directory as it was called then; undefined: nothing says. @param tree its real path. */
export async function originMedium(tree: string): Promise<string | undefined> {
  const found = await fileInside(bytesOf(tree), place);
  const text = found === undefined ? '' : await readFile(placeOf(bytesOf(tree), found.path), 'utf8');
  return /^BUILDSRC=(\/.+)$/m.exec(text)?.[1];
}
