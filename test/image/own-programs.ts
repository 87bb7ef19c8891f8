/** Programs of this machine, for trees that are to run some. */
import { execFileSync } from 'node:child_process';

/** Where a program and what it is linked with lie, all below /usr: a tree that has them needs the links /bin, /lib and /lib64. */
export function withLibraries(name: string): string[] {
  const found = execFileSync('which', [name], { encoding: 'utf8' }).trim();
  const linked = execFileSync('ldd', [found], { encoding: 'utf8' }).matchAll(/(\/(?:usr\/)?lib\S+)/g);
  return [found, ...[...linked].map(([path]) => path)].map((path) => path.replace(/^\/(?!usr\/)/, '/usr/'));
}
