/** Two who sign packages: `packager` and `somebody`, whose keys have no passphrase. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';

export interface Packagers extends Disposable {
  /** Their home. */
  readonly keys: string;
  /** @returns what it prints. */
  gpg(...words: string[]): Buffer;
  /** The public half, armored. @returns `file` */
  exportKey(name: string, file: string): string;
}

export function packagers(): Packagers {
  // Sockets have short names.
  const keys = mkdtempSync('/run/packagers-');
  const gpg = (...words: string[]) =>
    execFileSync('gpg', ['--homedir', keys, '--batch', '--quiet', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const name of ['packager', 'somebody'])
    gpg('--passphrase', '', '--quick-generate-key', name, 'rsa2048', 'sign', 'never');
  return {
    keys,
    gpg,
    exportKey(name, file) {
      writeFileSync(file, gpg('--armor', '--export', name));
      return file;
    },
    [Symbol.dispose]() {
      execFileSync('gpgconf', ['--homedir', keys, '--kill', 'gpg-agent']);
      rmSync(keys, { recursive: true });
    },
  };
}
