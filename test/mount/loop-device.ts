/** A loop device on a file, as squashfs would have it. It goes away when its last user does, however that ends. */
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { readAt } from './reading.ts';

export class LoopDevice implements AsyncDisposable {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async attach(file: string, { readOnly = true } = {}): Promise<LoopDevice> {
    const words = ['--find', '--show', ...(readOnly ? ['--read-only'] : []), file];
    const path = execFileSync('losetup', words, { encoding: 'utf8' }).trim();
    // O_DIRECT: every read reaches what is behind the device, not its page cache.
    const opened = await open(path, constants.O_RDONLY | constants.O_DIRECT);
    // It is in use, so this only says that its end is ours.
    execFileSync('losetup', ['--detach', path]);
    return new LoopDevice(path, opened);
  }

  /** Offset and length are multiples of 512, the device's sectors. */
  read(offset: number, length: number): Promise<Buffer> {
    return readAt(this.#file, offset, length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
