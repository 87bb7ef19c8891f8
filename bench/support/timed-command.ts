/** Commands that move bytes, timed from start to end: what the mount is measured by and against. */
import { spawn } from 'node:child_process';

/** Seconds that a command took. @throws Error unless its exit status is 0. */
export function timeCommand(command: string, ...args: string[]): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words += text;
    });
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve((performance.now() - started) / 1000);
      else reject(new Error(`${command} ${args.join(' ')}: exit status ${status}: ${words.trim()}`));
    });
  });
}

/** Seconds that dd needs to read a whole file, in pieces of 1 MiB. */
export function readWhole(file: string): Promise<number> {
  return timeCommand('dd', `if=${file}`, 'of=/dev/null', 'bs=1M');
}

/** Seconds that curl needs for the whole file at `url`. */
export function curlWhole(url: string, ...options: string[]): Promise<number> {
  return timeCommand('curl', '--silent', '--show-error', '--fail', '--output', '/dev/null', ...options, url);
}
