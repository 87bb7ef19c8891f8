/** A loop device on a file, as squashfs would have it. It goes away when its last user does, however that ends. */
import { execFile, execFileSync } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';

export class LoopDevice implements AsyncDisposable {
  readonly path: string;
  /** Open for nothing but that it is. */
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async attach(file: string, { readOnly = true } = {}): Promise<LoopDevice> {
    const words = ['--find', '--show', ...(readOnly ? ['--read-only'] : []), file];
    const path = execFileSync('losetup', words, { encoding: 'utf8' }).trim();
    const opened = await open(path);
    // It is in use, so this only says that its end is ours.
    execFileSync('losetup', ['--detach', path]);
    return new LoopDevice(path, opened);
  }

  /** Whole sectors of 512 bytes. O_DIRECT: every read reaches what is behind the device, not its page cache. */
  async read(offset: number, length: number): Promise<Buffer> {
    const flags = 'iflag=direct,skip_bytes,count_bytes';
    const words = [`if=${this.path}`, flags, 'bs=1M', `skip=${offset}`, `count=${length}`, 'status=none'];
    const { stdout } = await promisify(execFile)('dd', words, { encoding: 'buffer', maxBuffer: 2 * length });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
