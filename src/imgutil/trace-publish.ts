/** Lays a trace beside the image that it belongs to, where members serve it to the nodes that boot next. */
import { stat } from 'node:fs/promises';
import { describeError } from '../base/errors.ts';
import { SidecarError } from '../image/errors.ts';
import { largestSidecarSize, readSidecar, sidecarSuffix } from '../image/sidecar.ts';
import { parseTrace, traceSuffix } from '../image/trace.ts';
import { ImageSourceError } from './errors.ts';
import { readSmallFile } from './file-source.ts';
import { publishedFile } from './published-names.ts';
import { writeTraceFile } from './trace-file.ts';

/**
 * Replaces an older trace. Beside an image that is published under its digest the trace is, too. @returns the path of the new one.
 * @throws ImageSourceError without image or sidecar, SidecarError, TraceError when the trace is of another image, TetherfsError TRACE_WRITE.
 */
export async function publishTrace(text: string, image: string): Promise<string> {
  const unreadable = (cause: unknown) => {
    throw new ImageSourceError(`cannot read ${image}: ${describeError(cause)}`, { cause });
  };
  const imagePath = await publishedFile(image).catch(unreadable);
  const { size } = await stat(imagePath).catch(unreadable);
  const sidecarPath = imagePath + sidecarSuffix;
  const sidecar = await readSmallFile(sidecarPath, largestSidecarSize(size));
  if (sidecar === undefined) {
    throw new ImageSourceError(
      `there is no ${sidecarPath}: without it nobody can say whether the trace belongs to the image`,
    );
  }
  const verity = readSidecar(sidecar);
  if (verity.imageSize !== size) {
    throw new SidecarError(`is for an image of ${verity.imageSize} bytes, but ${imagePath} has ${size}`);
  }
  parseTrace(text, verity);
  const path = imagePath + traceSuffix;
  await writeTraceFile(path, text, { replace: true });
  return path;
}
