/** What a profile can be called: it is a directory in public/os. */
export const profileName = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,200}$/;

/** `image pack` lays keys beside a public directory that lies in no tree: what is called so is never public, wherever it lies. */
export function isPrivateName(name: string): boolean {
  return name.endsWith('.private');
}
