/** `ssh` as somebody calls it who knows nothing of a machine but an authority of host keys. */
import { execFile } from 'node:child_process';

export interface SshLogin {
  host: string;
  /** Private key of root's. */
  identity: string;
  /** known_hosts. */
  known: string;
  /** What the machine must be called in its certificate; its address unless said otherwise. */
  alias?: string;
  command: string;
}

export interface Said {
  status: number;
  stdout: string;
  stderr: string;
}

export function sshLogin({ host, identity, known, alias = host, command }: SshLogin): Promise<Said> {
  const settings = {
    BatchMode: 'yes',
    ConnectTimeout: '60',
    UserKnownHostsFile: known,
    GlobalKnownHostsFile: 'none',
    HostKeyAlias: alias,
  };
  const words = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return new Promise((resolve) => {
    execFile('ssh', ['-F', 'none', '-i', identity, ...words, `root@${host}`, command], (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}
