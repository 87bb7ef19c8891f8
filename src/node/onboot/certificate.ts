/** The certificate of the ssh host key, where no member could give one while the node booted. */
import { TetherfsError } from '../../base/errors.ts';
import { certificateOf, showCertificate } from '../identity/host-certificate.ts';
import { RootTree } from '../identity/root-tree.ts';
import { believedKeys, hostKey } from '../identity/ssh-files.ts';
import type { MemberApi } from '../member-api.ts';
import { run } from '../programs.ts';

/** sshd shows it from now on. @throws TetherfsError CERTIFICATE when no member gives one. */
export async function getCertificate(api: MemberApi): Promise<string> {
  const tree = new RootTree('');
  const publicKey = (await tree.read(`${hostKey}.pub`))?.trim() ?? '';
  const believed = believedKeys((await tree.read('/etc/ssh/ssh_known_hosts')) ?? '');
  const certificate = await certificateOf(publicKey, believed, api);
  if ('why' in certificate) throw new TetherfsError('CERTIFICATE', `the ssh host key has none: ${certificate.why}`);
  await showCertificate(tree, certificate.found);
  // Debian's name, and everybody else's.
  for (const unit of ['ssh.service', 'sshd.service'])
    await run('systemctl', ['try-reload-or-restart', unit], { package: 'systemd' }).catch(() => {});
  return certificate.found.serial;
}
