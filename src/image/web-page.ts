/** What servers send in place of a file: an error page, a login, a listing. */
const beginning = /^(\xef\xbb\xbf)?\s*<(!doctype|!--|html|head|\?xml)/i;

/** By its first bytes. */
export function isWebPage(head: Uint8Array): boolean {
  return beginning.test(Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 512)).toString('latin1'));
}
