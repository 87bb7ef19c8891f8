/** Programs of this machine in the tree of an image, with what their loader needs: enough to chroot into. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Each lies in bin/ afterwards, its libraries where they lie here. */
export function putPrograms(tree: string, programs: readonly string[]): void {
  mkdirSync(join(tree, 'bin'), { recursive: true });
  for (const program of programs) {
    copyFileSync(realpathSync(program), join(tree, 'bin', basename(program)));
    // `name => /path (address)`, and the loader's path alone.
    const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
    for (const [, library = ''] of libraries) {
      mkdirSync(join(tree, dirname(library)), { recursive: true });
      copyFileSync(realpathSync(library), join(tree, library));
    }
  }
}
