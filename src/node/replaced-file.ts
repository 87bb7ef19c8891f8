/** A file in the place of another: all of it, with owner and rights, or what was there before. */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface OwnerAndRights {
  uid: number;
  gid: number;
  mode: number;
}

/** @param directory where it belongs; no name that somebody may have guessed is written to. @throws Error of the system call */
export async function replaceFile(
  directory: string,
  name: string,
  content: string | Uint8Array,
  { uid, gid, mode }: OwnerAndRights,
): Promise<void> {
  const made = join(directory, `.tetherfs-${randomUUID()}`);
  // A new file in any case: what is there may be a link.
  await using file = await open(made, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.chown(uid, gid);
    await file.chmod(mode);
    await rename(made, join(directory, name));
  } catch (error) {
    await rm(made, { force: true });
    throw error;
  }
}
