/** What a machine needs of tetherfs to mount, copied out of the checkout: as an initramfs has it, and throws it away after the boot. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';

const checkout = fileURLToPath(new URL('../../', import.meta.url));
const lockSchema = z.object({ packages: z.record(z.string(), z.object({ dev: z.boolean().optional() })) });

export class RuntimeCopy {
  readonly command: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.command = join(directory, 'bin/tetherfs');
    this.restore();
  }

  /** Puts the files (back) in their place. */
  restore(): void {
    const { packages } = lockSchema.parse(JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')));
    const needed = Object.keys(packages).filter((path) => path !== '' && packages[path]?.dev !== true);
    const files = ['native/build/tetherfs.node', 'native/build/tetherfs-holder'];
    // The runtime of another processor is not there.
    const paths = ['package.json', 'bin', 'src', ...files, ...needed].filter((path) =>
      existsSync(join(checkout, path)),
    );
    mkdirSync(this.#directory, { recursive: true });
    const copy = (how: readonly string[]) =>
      execFileSync('cp', ['--archive', '--force', '--parents', ...how, ...paths, this.#directory], {
        cwd: checkout,
        stdio: 'ignore',
      });
    try {
      // Names of their own are enough to be deleted.
      copy(['--link']);
    } catch {
      copy([]); // It is on another file system.
    }
  }

  /** Puts something before one of its files, e.g. `src/cli/main.ts`; the checkout's stays as it is. */
  prepend(path: string, text: string): void {
    const file = join(this.#directory, path);
    const before = readFileSync(file, 'utf8');
    rmSync(file);
    writeFileSync(file, text + before);
  }

  /** As confluent's boot script does it when the root filesystem is there. */
  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
