/**
 * Lays a trace beside the image that it belongs to, where members serve it to the nodes that boot next; and the same by path where the next pack
 * finds it.
 */
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, pathOf, TetherfsError } from '../base/errors.ts';
import { bootOrderOfChunks, metadataFirst, type PlacedFiles } from '../image/boot-order-chunks.ts';
import type { Xts } from '../image/encryption.ts';
import { SidecarError } from '../image/errors.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { readHead } from '../image/image-source.ts';
import { largestSidecarSize, readSidecar, sidecarSuffix, type Verity } from '../image/sidecar.ts';
import { parseTrace, type Trace, traceChunks, traceSuffix } from '../image/trace.ts';
import { type BootFilesPlace, bootOrderPath, stageBootOrder, stageTrace } from './boot-files.ts';
import { ImageSourceError, KeyMissingError } from './errors.ts';
import { openFileSource, readSmallFile } from './file-source.ts';
import { readKeyFile } from './image-location.ts';
import { removeLeftovers } from './leftovers.ts';
import { MadeDirectories } from './made-directories.ts';
import { placedFiles } from './placed-files.ts';
import { PrivateFiles, type PrivatePlace } from './private-files.ts';
import { confluentTree, realPlace, refusePublicPlace } from './private-place.ts';
import { profileDirectories } from './profile-files.ts';
import { publishedFile } from './published-names.ts';
import { StagedFiles } from './staged-files.ts';
import { traceWriteError, writeTraceFile } from './trace-file.ts';

export interface PublishOptions extends PrivatePlace {
  /** Of an encrypted image; by default what `pack` keeps. */
  keyFile?: string | undefined;
  xts: Xts;
}

export interface PublishedTrace {
  readonly tracePath: string;
  /** The list by path; undefined when it could not be made. */
  readonly bootOrderPath: string | undefined;
  /** Why not. */
  readonly problem?: string;
}

/**
 * Replaces an older trace. Beside an image that is published under its digest the trace is, too.
 * @throws ImageSourceError without image or sidecar, SidecarError, TraceError when the trace is of another image, UsageError when what is private would be
 * served, KeyFileError or ImageFormatError when the key file is no key of the image, TetherfsError TRACE_WRITE.
 */
export async function publishTrace(text: string, image: string, options: PublishOptions): Promise<PublishedTrace> {
  const imagePath = await publishedFile(image).catch(unreadable(image));
  await using source = await openFileSource(imagePath);
  const verity = await verityBeside(imagePath, source.size);
  const trace = parseTrace(text, verity);
  const isEncrypted = imageLayout(await readHead(source, headerSize)).format === 'encrypted';
  const privateFiles = isEncrypted ? await privateFilesBeside(imagePath, options) : undefined;
  const place = { imagePath, digest: verity.digest, privateFiles };
  const ours = profileDirectories.map((name) => join(dirname(imagePath), name));
  await removeLeftovers([dirname(imagePath), ...ours, ...(privateFiles === undefined ? [] : [privateFiles.directory])]);
  const tracePath = imagePath + traceSuffix;
  let placed: PlacedFiles;
  try {
    const keys = await keysOf(verity.digest, privateFiles, options.keyFile);
    placed = await placedFiles(source, { keys, xts: options.xts, chunkSize: trace.chunkSize });
  } catch (error) {
    // Without the files' places the trace is still one of this image.
    if (!(error instanceof TetherfsError) || options.keyFile !== undefined) throw error;
    await writeTraceFile(tracePath, text, { replace: true });
    const isMissing = error instanceof KeyMissingError;
    const way = isMissing ? ': give --key-file, or --private-dir as it was given to image pack' : '';
    return { tracePath, bootOrderPath: undefined, problem: error.message + way };
  }
  await writeBoth(trace, placed, place);
  return { tracePath, bootOrderPath: bootOrderPath(place) };
}

/** Where an encrypted image's list goes. @throws UsageError when it would be served. */
async function privateFilesBeside(imagePath: string, options: PrivatePlace): Promise<PrivateFiles> {
  const privateFiles = await PrivateFiles.besides(dirname(imagePath), options);
  const directory = await realPlace(privateFiles.directory);
  refusePublicPlace(directory, await realpath(dirname(imagePath)), await realPlace(options.tree ?? confluentTree));
  return privateFiles;
}

async function writeBoth(trace: Trace, placed: PlacedFiles, place: BootFilesPlace): Promise<void> {
  const chunks = traceChunks(trace, placed.geometry);
  const staged = new StagedFiles();
  const made = new MadeDirectories();
  let isWritten = false;
  try {
    if (place.privateFiles !== undefined) await made.make(place.privateFiles.directory, 0o700);
    await stageBootOrder(staged, bootOrderOfChunks(chunks, placed), place);
    await stageTrace(staged, metadataFirst(chunks, placed), placed.geometry, place);
    await staged.commit();
    isWritten = true;
  } catch (cause) {
    throw traceWriteError(pathOf(cause) ?? place.imagePath + traceSuffix, cause);
  } finally {
    await staged.discard();
    if (!isWritten) await made.remove();
  }
}

async function keysOf(
  digest: BootFilesPlace['digest'],
  privateFiles: PrivateFiles | undefined,
  keyFile: string | undefined,
): Promise<Uint8Array[]> {
  if (keyFile !== undefined) return [await readKeyFile(keyFile)];
  return (await privateFiles?.keysFor(digest)) ?? [];
}

/** What the sidecar beside an image says of it. */
async function verityBeside(imagePath: string, size: number): Promise<Verity> {
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
  return verity;
}

function unreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new ImageSourceError(`cannot read ${path}: ${describeError(cause)}`, { cause });
  };
}
