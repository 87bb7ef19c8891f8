/** The kernel command line of a profile: what it says itself, and where its image is. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, UsageError } from '../base/errors.ts';
import { isFileUrl } from '../base/file-url.ts';
import { imageMethodArgument, imageMethodOf, imageMethodOfCommandLine, kernelArgsOf } from '../profile/index.ts';
import { imageName, newestImage } from './published-names.ts';

/**
 * @param directory of the profile. @param members URL of that directory on each.
 * @throws UsageError when the directory holds no profile, or no image whose digest is known.
 */
export async function bootCommandLine(directory: string, members: readonly string[]): Promise<string> {
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
  words.push('boot=tetherfs', 'root=tetherfs:', `tetherfs.digest=${image.digest}`);
  if (members.length > 0) words.push(`tetherfs.members=${members.map(imageUrl).join(',')}`);
  return words.filter((word) => word !== '').join(' ');
}

function imageUrl(profile: string): string {
  if (!isFileUrl(profile)) throw new UsageError(`--member ${profile}: not an http:// or https:// URL`);
  if (profile.includes(',')) throw new UsageError(`--member ${profile}: a comma would divide it: write %2C`);
  return `${profile.replace(/\/+$/, '')}/${imageName}`;
}
