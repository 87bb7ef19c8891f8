/** What stands in a node's files of ssh: whom it believes, who may come, and how it shows itself. ssh_config(5), sshd_config(5), sshd(8). */

export const hostKey = '/etc/ssh/ssh_host_ed25519_key';
export const hostCertificate = `${hostKey}-cert.pub`;

/** Of sshd. What is said first counts there. @param isSigned whether there is a certificate. */
export function serverSettings(isSigned: boolean): string {
  return [
    '# Of tetherfs: the key and the certificate of this boot; nodes of the site log in to each other as the same user.',
    `HostKey ${hostKey}`,
    ...(isSigned ? [`HostCertificate ${hostCertificate}`] : []),
    'HostbasedAuthentication yes',
    'HostbasedUsesNameFromPacketOnly yes',
    'IgnoreRhosts no',
    '',
  ].join('\n');
}

/** Of ssh. The second name of the algorithms is that of OpenSSH before 8.5, and is understood by newer ones. */
export const clientSettings = `# Of tetherfs: nodes of the site log in to each other as the same user.
Host *
    HostbasedAuthentication yes
    EnableSSHKeysign yes
    HostbasedKeyTypes *ed25519*
`;

export interface Settings {
  /** Where they go in a file of their own: its directory is included by the main one. */
  dropIn: string;
  /** The file that is read first. */
  main: string;
  /** In the main one, where it has no such directory: what is said first counts. */
  goes: 'first' | 'last';
  text: string;
}

/** @param mainText of the main file. @returns which file gets what. */
export function settingsFile(
  { dropIn, main, goes, text }: Settings,
  mainText: string,
): { path: string; content: string } {
  const directory = dropIn.slice(0, dropIn.lastIndexOf('/'));
  const included = new RegExp(String.raw`^\s*Include\s+(?:.*\s)?"?${RegExp.escape(directory)}/\*`, 'im');
  // Within a Host or Match it would be for some alone.
  const common = mainText.split(/^\s*(?:Host|Match)\s/im)[0] ?? '';
  if (included.test(common)) return { path: dropIn, content: text };
  // As it was left there before.
  if (mainText.includes(text)) return { path: main, content: mainText };
  return { path: main, content: goes === 'first' ? `${text}\n${mainText}` : `${mainText.trimEnd()}\n\n${text}` };
}

/** Adds lines that are not there. @param text of the file, if there is one. */
export function withLines(text: string | undefined, lines: readonly string[]): string {
  const there = (text ?? '').split('\n').filter((line) => line.trim() !== '');
  return [...there, ...new Set(lines.filter((line) => !there.includes(line)))].map((line) => `${line}\n`).join('');
}

/** For known_hosts. @param authorities lines of .pub files. */
export function believedAuthorities(authorities: readonly string[]): string[] {
  return authorities.map((line) => `@cert-authority * ${line}`);
}

/** Of known_hosts: the authorities that are believed for every host, as lines of .pub files. */
export function believedKeys(knownHosts: string): string[] {
  const found = knownHosts.split('\n').map((line) => /^@cert-authority\s+\*\s+(\S.*)$/.exec(line)?.[1]);
  return found.filter((line) => line !== undefined);
}
