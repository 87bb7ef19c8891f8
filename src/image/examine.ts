/**
 * Whether a file can be an image, from its first bytes and its size alone: for choosing among servers that show different files when no digest
 * tells which is right.
 */
import { ImageFormatError } from './errors.ts';
import { encryptedPayloadSize, imageLayout } from './header.ts';
import { examineCapture } from './partitions.ts';
import { parseSuperblock } from './squashfs.ts';
import { isWebPage } from './web-page.ts';

/**
 * `valid`: a header that fits the size. `unbounded`: one that does not tell the size, as of an encrypted image. `unknown`: no header that we know,
 * or one that its server calls a web page, which says nothing against it.
 */
export type Examined = 'valid' | 'unbounded' | 'unknown';

/**
 * `head`: its first 4096 bytes, or all of a smaller file. `contentType` is the server's.
 * @throws ImageFormatError when it is cut off by its own header, contradicts itself, or is a web page.
 */
export function examineImage(head: Uint8Array, size: number, contentType: string | undefined): Examined {
  const { format } = imageLayout(head);
  if (format === 'encrypted') {
    encryptedPayloadSize(size);
    return 'unbounded';
  }
  if (format === 'squashfs') parseSuperblock(head, size);
  if (format === 'partitions') examineCapture(head, size);
  const isHtml = /^text\/html\b/i.test(contentType ?? '');
  if (format !== 'unknown') return isHtml ? 'unknown' : 'valid';
  if (isHtml || isWebPage(head)) throw new ImageFormatError('it is a web page, not an image');
  return 'unknown';
}
