/** `build-info` beside an image: how the newest was made, `NAME=VALUE` a line, as confluent has it. */
import { join } from 'node:path';
import { readSmallFile } from './file-source.ts';
import type { StagedFiles } from './staged-files.ts';

export interface BuildInfo {
  /** Name of the image's file. */
  readonly image: string;
  /** What it is ordered after: a digest, a file, or `none`. */
  readonly bootOrder: string;
}

const fileName = 'build-info';
const sizeLimit = 65536;

/** Readable for everybody, as the image is. */
export async function stageBuildInfo(staged: StagedFiles, directory: string, info: BuildInfo): Promise<void> {
  const file = await staged.create(join(directory, fileName), 0o644);
  await file.appendFile(`BOOTORDER=${oneLine(info.bootOrder)}\nIMAGE=${oneLine(info.image)}\n`);
}

/** undefined: there is none, or it tells of no image. @throws ImageSourceError */
export async function readBuildInfo(directory: string): Promise<BuildInfo | undefined> {
  const bytes = await readSmallFile(join(directory, fileName), sizeLimit);
  if (bytes === undefined) return undefined;
  const lines = Buffer.from(bytes).toString().split('\n');
  const value = (name: string) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
  const [image, bootOrder] = [value('IMAGE'), value('BOOTORDER')];
  return image === undefined || bootOrder === undefined ? undefined : { image, bootOrder };
}

function oneLine(text: string): string {
  return [...text].map((character) => (character < ' ' || character === '\x7f' ? '?' : character)).join('');
}
