/** Mounts as the kernel lists them (/proc/self/mountinfo, proc(5)): none of them is touched. */
import { readFileSync } from 'node:fs';

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

function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
