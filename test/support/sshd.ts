/** A real sshd on an address of its own, for root by keys alone. */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { ServerProgram } from './server-program.ts';

const run = promisify(execFile);

export interface SshdOptions {
  address: string;
  hostKey: string;
  /** Of the host key, which it shows then. */
  certificate?: string | undefined;
  authorizedKeys: string;
  /** Of what it runs: `NAME=VALUE` each. */
  environment?: readonly string[];
}

export function startSshd({
  address,
  hostKey,
  certificate,
  authorizedKeys,
  environment = [],
}: SshdOptions): Promise<ServerProgram> {
  // Where it shuts itself in; it does not start without.
  mkdirSync('/run/sshd', { recursive: true });
  // Debian's bash reads what root has in .bashrc for a first shell behind ssh, which takes its time on some machines.
  const notTheFirst = 'SHLVL=2';
  return ServerProgram.start({
    command: ['/usr/sbin/sshd', '-D', '-e', '-f', 'CONFIG'],
    config: () => `
      ListenAddress ${address}:22
      HostKey ${hostKey}
      AuthorizedKeysFile ${authorizedKeys}
      PermitRootLogin prohibit-password
      StrictModes no
      UsePAM no
      PidFile none
      SetEnv ${[notTheFirst, ...environment].join(' ')}
      ${certificate === undefined ? '' : `HostCertificate ${certificate}`}`,
    ready: () => answersSsh(address),
  });
}

export async function answersSsh(address: string): Promise<boolean> {
  return (await run('ssh-keyscan', ['-T', '1', address]).catch(() => ({ stdout: '' }))).stdout !== '';
}
