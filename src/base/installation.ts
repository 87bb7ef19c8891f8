/**
 * Where the parts of this program lie. In a checkout its sources run as they are; in a runtime (scripts/build-runtime) one file holds them all, in
 * the place of src/cli/main.ts, so that everything else lies where it does in a checkout.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';

/** A source file two folders deep, or the one file. */
const file = import.meta.filename;
const root = join(dirname(file), '../..');

/** All of it. */
export const installationPlace = root;

/** What Node runs. */
export const mainScript = join(root, `src/cli/main${extname(file)}`);
export const packageFile = join(root, 'package.json');
export const addonFile = join(root, 'native/build/tetherfs.node');
export const shutdownProgram = join(root, 'native/build/tetherfs-shutdown');
export const holderProgram = join(root, 'native/build/tetherfs-holder');

/** A runtime brings the loader and libraries that Node.js needs, and is run by them: whatever root filesystem it lies in. As in bin/tetherfs. */
const libraries = join(root, 'lib');
const loader = join(libraries, 'loader');
// The loader takes these for the end of a directory's name.
const isWithLoader = existsSync(loader) && !/[:;]/.test(libraries);

/** Program and first arguments that start the Node.js that runs us. */
export const nodeCommand: readonly [string, ...string[]] = isWithLoader
  ? [loader, '--library-path', libraries, join(root, 'bin/node')]
  : [process.execPath];

/** Where a diskless node has its runtime: also in initramfs/boot and native/top_root.c. */
export const nodeRuntime = '/run/initramfs/tetherfs/runtime';

/** What `tetherfs image prepare` puts into a tree: by `npm run build:runtime`, and as they are. In a checkout only. */
export const runtimeImage = join(root, 'build/runtime.sfs');
export const initramfsFiles = join(root, 'initramfs');
export const unitFiles = join(root, 'systemd');
/** What `tetherfs image build` installs unless it is told otherwise, a file a family of distributions. In a checkout only. */
export const packageLists = join(root, 'package-lists');
/** What `tetherfs image capture` has another machine run. In a checkout only. */
export const captureFunctions = join(root, 'src/imgutil/capture/collect.sh');

/** What `tetherfs bench --html` puts into its page: as it is, and uPlot. */
export const pageFiles = join(root, 'src/measure/page');
export function chartLibrary(): string {
  const brought = join(pageFiles, 'uplot');
  // In a checkout the package may also lie beside ours.
  return existsSync(brought) ? brought : dirname(createRequire(packageFile).resolve('uplot/dist/uPlot.min.css'));
}
