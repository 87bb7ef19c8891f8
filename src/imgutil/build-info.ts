/** `build-info` beside an image: how the newest was made, `NAME=VALUE` a line, as confluent has it. */
import { join } from 'node:path';
import { readSmallText } from './file-source.ts';
import type { StagedFiles } from './staged-files.ts';

export interface BuildInfo {
  /** Name of the image's file. */
  readonly image: string;
  /** What it is ordered after: a digest, the name of a file, or `none`. */
  readonly bootOrder: string;
}

const fileName = 'build-info';
const sizeLimit = 65536;

/** In front of what others wrote there. Readable for everybody, as the image is. */
export async function stageBuildInfo(staged: StagedFiles, directory: string, info: BuildInfo): Promise<void> {
  const path = join(directory, fileName);
  const before = await readSmallText(path, sizeLimit).catch(() => undefined);
  const others = (before ?? '').split('\n').filter((line) => line !== '' && !/^(BOOTORDER|IMAGE)=/.test(line));
  const ours = [`BOOTORDER=${oneLine(info.bootOrder)}`, `IMAGE=${oneLine(info.image)}`];
  const file = await staged.create(path, 0o644);
  await file.appendFile([...ours, ...others, ''].join('\n'), 'latin1');
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
