/** Mounts as the kernel lists them (/proc/self/mountinfo, proc(5)); to list them touches none. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from './errors.ts';

export interface ListedMount {
  id: string;
  /** What of the file system is mounted there: `/` for all of it. */
  root: string;
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
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** @param text as /proc/self/mountinfo has it. */
export function parseMounts(text: string): ListedMount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', , device = '', root = '', mountedOn = ''] = line.split(' ');
      const [, type = '', source = '', options = ''] = / - (\S+) (\S+) (\S+)/.exec(line) ?? [];
      const [mountpoint, from] = [mountedOn, root].map(unescapeOctal) as [string, string];
      return { id, device, type, source, options, mountpoint, root: from };
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

/** As proc(5) writes blanks and the like in names. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
