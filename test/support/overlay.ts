/** A tree that can be written to above one that stays as it is: an overlay in RAM. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { closed, opened } from './teardown.ts';
import { makeTempDir, type TempDir } from './temp-dir.ts';

export class Overlay implements Disposable {
  readonly root: string;
  readonly #directory: TempDir;

  constructor(lower: string) {
    this.#directory = makeTempDir('overlay');
    const { path } = this.#directory;
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', path]);
    const [upper, work, root] = ['upper', 'work', 'root'].map((name) => join(path, name)) as [string, string, string];
    for (const made of [upper, work, root]) mkdirSync(made);
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    execFileSync('mount', ['-t', 'overlay', '-o', layers, 'overlay', root]);
    this.root = root;
    opened(this);
  }

  /** With whatever has been mounted in it. */
  [Symbol.dispose](): void {
    closed(this);
    for (const path of [this.root, this.#directory.path]) execFileSync('umount', ['--lazy', '--recursive', path]);
    this.#directory.remove();
  }
}
