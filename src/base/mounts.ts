/** Mounts as the kernel lists them (/proc/self/mountinfo, proc(5)); to list them touches none. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from './errors.ts';

export interface ListedMount {
  id: string;
  /** `MAJOR:MINOR`: the same for every place where a file system is mounted. */
  device: string;
  /** Where it is mounted, seen from our root. */
  mountpoint: string;
  type: string;
  /** Of a block device its path. */
  source: string;
  /** The file system's own. */
  options: string;
}

/** All that can be reached from our root; what covers another comes after it. */
export function listMounts(): ListedMount[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', , device = '', , mountedOn = ''] = line.split(' ');
      const [, type = '', source = '', options = ''] = / - (\S+) (\S+) (\S+)/.exec(line) ?? [];
      return { id, device, type, source, options, mountpoint: unescapeOctal(mountedOn) };
    });
}

/** So long one that lives may take to say so, in ms. */
const answerMs = 2_000;

/** Of a FUSE connection that was aborted, or whose daemon died. */
const deadCodes = new Set(['ENOTCONN', 'ECONNABORTED']);

/**
 * Whether the FUSE mount on `path` is dead. The kernel lists it until it is unmounted, and answers stat(2) from what it remembers; statfs(2) it asks
 * the daemon. One that does not answer lives.
 */
export async function isDead(path: string): Promise<boolean> {
  const asked = statfs(path).then(
    () => false,
    (error: unknown) => deadCodes.has(errorCode(error) ?? ''),
  );
  return Promise.race([asked, sleep(answerMs, false, { ref: false })]);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
