/** The certificate of a node's ssh host key: signed by a member at each boot. */
import { ProtocolError } from '../../protocol/protocol-error.ts';
import { decodedKey, parseHostCertificate, pointOf } from '../../protocol/ssh-key.ts';
import type { MemberApi } from '../member-api.ts';
import type { RootTree } from './root-tree.ts';
import { hostCertificate, type Settings, serverSettings, settingsFile } from './ssh-files.ts';

export interface HostCertificate {
  /** As sshd reads it. */
  line: string;
  serial: string;
}

/** @param authorities whom nodes believe: lines of .pub files. @returns it, or why no member gives one that anybody would believe. */
export function certificateOf(
  publicKey: string,
  authorities: readonly string[],
  api: MemberApi,
): Promise<{ readonly found: HostCertificate } | { readonly why: string }> {
  const believed = authorities.map((line) => decodedKey(line).toString('base64'));
  const take = (body: Buffer) => {
    const line = body.toString('latin1').trim();
    const { point, authority, serial } = parseHostCertificate(line);
    if (!point.equals(pointOf(publicKey))) throw new ProtocolError('it is of another key');
    if (!believed.includes(authority.toString('base64')))
      throw new ProtocolError('it is signed by no authority of the site archive');
    return { line, serial: String(serial) };
  };
  return api.seek('sshcert', take, { method: 'POST', body: `${publicKey}\n` });
}

/** sshd shows it from its next start on. */
export async function showCertificate(tree: RootTree, { line }: HostCertificate): Promise<void> {
  await tree.write(hostCertificate, `${line}\n`, { mode: 0o644 });
  await writeSettings(tree, settingsOfServer(true));
}

/** @param isSigned whether there is a certificate. */
export function settingsOfServer(isSigned: boolean): Settings {
  return {
    dropIn: '/etc/ssh/sshd_config.d/00-tetherfs.conf',
    main: '/etc/ssh/sshd_config',
    goes: 'first',
    text: serverSettings(isSigned),
  };
}

export async function writeSettings(tree: RootTree, settings: Settings): Promise<void> {
  const { path, content } = settingsFile(settings, (await tree.read(settings.main)) ?? '');
  await tree.write(path, content);
}
