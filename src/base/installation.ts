/**
 * Where the parts of this program lie. In a checkout its sources run as they are; in a runtime (scripts/build-runtime) one file holds them all, in
 * the place of src/cli/main.ts, so that everything else lies where it does in a checkout.
 */
import { dirname, extname, join } from 'node:path';

/** A source file two folders deep, or the one file. */
const file = import.meta.filename;
const root = join(dirname(file), '../..');

/** What Node runs. */
export const mainScript = join(root, `src/cli/main${extname(file)}`);
export const packageFile = join(root, 'package.json');
export const addonFile = join(root, 'native/build/tetherfs.node');
export const holderProgram = join(root, 'native/build/tetherfs-holder');
