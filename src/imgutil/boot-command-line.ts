/** The kernel command line of a profile: what it says itself, and where its image is. */
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, UsageError } from '../base/errors.ts';
import { isFileUrl, parseFileUrl, shownUrl } from '../base/file-url.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import {
  bootFile,
  imageMethodArgument,
  imageMethodOf,
  imageMethodOfCommandLine,
  kernelArgsOf,
  readBootSettings,
} from '../profile/index.ts';
import { imageName, newestImage } from './published-names.ts';

export interface WhereFrom {
  /** URL of the profile's directory on each member that has its image. */
  members: readonly string[];
  /** `discover`, or addresses with commas between: who says what a node is to boot, and the digest of that as it is then. */
  api?: string | undefined;
}

/**
 * @param directory of the profile.
 * @throws UsageError when the directory holds no profile, or no image whose digest is known.
 */
export async function bootCommandLine(directory: string, { members, api }: WhereFrom): Promise<string> {
  const path = join(directory, 'profile.yaml');
  const yaml = await readFile(path, 'utf8').catch((cause) => {
    if (errorCode(cause) === 'ENOENT')
      throw new UsageError(`${directory} is no profile: it has no profile.yaml (tetherfs image pack makes one)`, {
        cause,
      });
    throw cause;
  });
  const image = await newestImage(directory);
  if (image === undefined)
    throw new UsageError(`${directory} has no ${imageName} with a sidecar: make it by tetherfs image pack`);
  const own = kernelArgsOf(yaml, path);
  const said = imageMethodOf(yaml, path);
  const words = [own];
  if (said !== undefined && imageMethodOfCommandLine(own) === undefined)
    words.push(`${imageMethodArgument}=${said.word}`);
  words.push(
    'boot=tetherfs',
    'root=tetherfs:',
    api === undefined ? `tetherfs.digest=${image.digest}` : `tetherfs.api=${api}`,
  );
  if (members.length > 0) words.push(`tetherfs.members=${members.map(imageUrl).join(',')}`);
  const line = words.filter((word) => word !== '').join(' ');
  if ((own.match(/"/g) ?? []).length % 2 === 1) {
    throw new UsageError(`${path}: kernelargs has a " without its end, which would take in all that follows`);
  }
  // What a node would refuse is refused here.
  if (members.length > 0 || api !== undefined) readBootSettings(line, undefined);
  if (Buffer.byteLength(line) > longestCommandLine) {
    throw new UsageError(
      `the kernel command line has ${Buffer.byteLength(line)} bytes, and kernels cut it off at ${longestCommandLine}: name fewer members, or write them into ${bootFile} of the tree`,
    );
  }
  return line;
}

/** What a machine that boots from it would stumble over, as far as the profile tells. */
export async function bootDoubts(directory: string, { members, api }: WhereFrom): Promise<string[]> {
  const yaml = await readFile(join(directory, 'profile.yaml'), 'utf8').catch(() => '');
  const own = kernelArgsOf(yaml);
  const image = await newestImage(directory);
  const isEncrypted = image !== undefined && (await formatOf(image.path)) === 'encrypted';
  const doubts: [boolean, string][] = [
    [members.length === 0 && api === undefined, `no --member, no --api: the tree's ${bootFile} must name them`],
    [
      !existsSync(join(directory, 'boot/kernel')),
      'the profile has no kernel: install one in the tree, and pack it again',
    ],
    [
      !existsSync(join(directory, 'boot/initramfs/distribution')),
      'the profile has no initramfs: make it in the tree, and pack it again',
    ],
    [
      isEncrypted && api === undefined && !/(^|\s)tetherfs\.(api|insecure-key-file)=/.test(own),
      `the image is encrypted, and nothing here gives its key: pack it with --no-encrypt, or see "A key" in docs/node.md`,
    ],
  ];
  return doubts.flatMap(([isSo, what]) => (isSo ? [what] : []));
}

async function formatOf(path: string): Promise<string> {
  await using handle = await open(path);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(headerSize), 0, headerSize, 0);
  return imageLayout(buffer.subarray(0, bytesRead)).format;
}

/** COMMAND_LINE_SIZE of x86, less its end; others have no less. */
const longestCommandLine = 2047;

function imageUrl(profile: string): string {
  const refuse = (why: string) => new UsageError(`--member ${shownUrl(profile)}: ${why}`);
  if (!isFileUrl(profile)) throw refuse('not an http:// or https:// URL');
  if (/[,"]/.test(profile)) throw refuse('a comma would divide it, a quote would not end: write %2C, %22');
  if (profile.includes('?')) throw refuse('the URL of a directory has no query');
  // Elsewhere a member is the URL of the image.
  const directory = profile.replace(/\/+$/, '').replace(new RegExp(`/${imageName.replace('.', '\\.')}$`), '');
  return parseFileUrl(`${directory}/${imageName}`).given;
}
