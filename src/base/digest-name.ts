/**
 * The name under which an image lies as long as anybody needs it: `rootimg-HEX.sfs`, HEX being the 64 hexadecimal digits of its
 * digest. Whoever packs, serves, reads and removes images must mean the same name (docs/image-format.md).
 */

/** `rootimg.sfs` and 64 digits make `rootimg-DIGITS.sfs`. */
export function digestName(name: string, hex: string): string {
  const dot = name.lastIndexOf('.');
  const stem = dot > 0 ? name.slice(0, dot) : name;
  return `${stem}-${hex}${name.slice(stem.length)}`;
}

/** Whether a name holds a digest, whichever: then it means one image for ever. */
export function isDigestName(name: string): boolean {
  return /-[0-9a-f]{64}(\.[^.]*)?$/.test(name);
}
