/** `build-info` beside an image: how the newest was made, `NAME=VALUE` a line, as confluent has it. */
import { join } from 'node:path';
import { bytesOf } from '../base/tree-entry.ts';
import { readSmallText } from './file-source.ts';
import type { StagedFiles } from './staged-files.ts';

export interface BuildInfo {
  /** Name of the image's file. */
  readonly image: string;
  /** What it is ordered after: a digest, the name of a file, or `none`. */
  readonly bootOrder: string;
}

export interface NewBuildInfo extends BuildInfo {
  /** The tree's name, or what it is of. */
  readonly packedFrom: string;
  /** Version of the kernel that was put beside it; undefined: what lay there stays. */
  readonly kernel: string | undefined;
  /** As it was given; undefined: none. */
  readonly baseProfile: string | undefined;
}

const fileName = 'build-info';
const sizeLimit = 65536;

/** In front of what others wrote there. Readable for everybody, as the image is. */
export async function stageBuildInfo(staged: StagedFiles, directory: string, info: NewBuildInfo): Promise<void> {
  const path = join(directory, fileName);
  const before = await readSmallText(path, sizeLimit).catch(() => undefined);
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  const date = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000);
  const ours = Object.entries({
    BOOTORDER: info.bootOrder,
    IMAGE: info.image,
    PACKEDFROM: bytesOf(info.packedFrom),
    PACKDATE: date.toISOString().slice(0, 16),
    ...(info.kernel !== undefined && { KERNEL: info.kernel }),
    ...(info.baseProfile !== undefined && { BASEPROFILE: bytesOf(info.baseProfile) }),
  });
  const isOurs = (line: string) => ours.some(([name]) => line.startsWith(`${name}=`));
  const others = (before ?? '').split('\n').filter((line) => line !== '' && !isOurs(line));
  const lines = ours.map(([name, value]) => `${name}=${oneLine(value)}`);
  const file = await staged.create(path, 0o644);
  await file.appendFile([...lines, ...others, ''].join('\n'), 'latin1');
}

/** undefined: there is none, or it tells of no image. @throws ImageSourceError */
export async function readBuildInfo(directory: string): Promise<BuildInfo | undefined> {
  const text = await readSmallText(join(directory, fileName), sizeLimit);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  const value = (name: string) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
  const [image, bootOrder] = [value('IMAGE'), value('BOOTORDER')];
  return image === undefined || bootOrder === undefined ? undefined : { image, bootOrder };
}

function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
