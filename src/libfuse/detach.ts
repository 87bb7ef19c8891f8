/** Taking a mount away: root by umount2(2); a user that is not root by fusermount(1), which knows the mounts that it has made. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describeError, errorCode, shownText, TetherfsError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';

const run = promisify(execFile);

/** Debian has both names, others one of them. */
const programs = ['fusermount3', 'fusermount'];

/** @throws Error with errno's code: EBUSY, EPERM, and of root whatever umount2(2) says; TetherfsError LIBFUSE without fusermount. */
export async function detach(mountpoint: string, mode: 'normal' | 'lazy'): Promise<void> {
  if (process.geteuid?.() === 0) return loadBinding().unmount(mountpoint, mode);
  const words = ['-u', ...(mode === 'lazy' ? ['-z'] : []), '--', mountpoint];
  const env = { PATH: process.env['PATH'] || '/usr/bin:/bin', LC_ALL: 'C' };
  for (const program of programs) {
    try {
      await run(program, words, { env });
      return;
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') continue;
      const said = saidOf(cause);
      const code = said.includes('busy') ? 'EBUSY' : 'EPERM';
      throw Object.assign(new Error(said, { cause }), { code });
    }
  }
  throw new TetherfsError('LIBFUSE', 'fusermount is missing: install it (Debian: apt-get install fuse3)');
}

/** What it wrote; the message of execFile has the command in it, and so the name of the mountpoint. */
function saidOf(error: unknown): string {
  const { stderr } = error as { stderr?: string };
  return shownText(stderr ?? '') || describeError(error);
}
