/**
 * Lays a trace beside the image that it belongs to, where members serve it to the nodes that boot next; and the same by path where the next pack
 * finds it.
 */
import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { describeError, isSystemError, TetherfsError } from '../base/errors.ts';
import { bootOrderOfChunks, metadataFirst, type PlacedFiles } from '../image/boot-order-chunks.ts';
import type { Xts } from '../image/encryption.ts';
import { SidecarError } from '../image/errors.ts';
import { chunkIndex } from '../image/geometry.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { readHead } from '../image/image-source.ts';
import { largestSidecarSize, readSidecar, sidecarSuffix, type Verity } from '../image/sidecar.ts';
import { parseTrace, type Trace, traceChunks, traceSuffix } from '../image/trace.ts';
import { type BootFilesPlace, bootOrderPath, stageBootOrder, stageTrace } from './boot-files.ts';
import { ImageSourceError } from './errors.ts';
import { openFileSource, readSmallFile } from './file-source.ts';
import { readKeyFile } from './image-location.ts';
import { removeLeftovers } from './leftovers.ts';
import { MadeDirectories } from './made-directories.ts';
import { placedFiles } from './placed-files.ts';
import { type PrivateFiles, type PrivatePlace, privateFilesOf } from './private-files.ts';
import { confluentTree, refusePublicPlace } from './private-place.ts';
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
  const verity = await verityBeside(imagePath);
  const trace = parseTrace(text, verity);
  const privateFiles = await privateFilesBeside(imagePath, options);
  const place = { imagePath, digest: verity.digest, privateFiles };
  await removeLeftovers([dirname(imagePath), ...(privateFiles === undefined ? [] : [privateFiles.directory])]);
  let placed: PlacedFiles | string;
  try {
    placed = await lookUp(trace, place, options);
  } catch (error) {
    // Without the files' places the trace is still one of this image.
    if (!(error instanceof TetherfsError) || options.keyFile !== undefined) throw error;
    placed = error.message;
  }
  const tracePath = imagePath + traceSuffix;
  if (typeof placed === 'string') {
    await writeTraceFile(tracePath, text, { replace: true });
    return { tracePath, bootOrderPath: undefined, problem: placed };
  }
  await writeBoth(trace, placed, place);
  return { tracePath, bootOrderPath: bootOrderPath(place) };
}

/** Where an encrypted image's list goes; undefined for one in clear. */
async function privateFilesBeside(imagePath: string, options: PrivatePlace): Promise<PrivateFiles | undefined> {
  await using source = await openFileSource(imagePath);
  if (imageLayout(await readHead(source, headerSize)).format !== 'encrypted') return undefined;
  const { tree = confluentTree } = options;
  const privateFiles = await privateFilesOf(imagePath, options);
  const directory = await realpath(privateFiles.directory).catch(() => resolve(privateFiles.directory));
  refusePublicPlace(directory, await realpath(dirname(imagePath)), await realpath(tree).catch(() => tree));
  return privateFiles;
}

/** @throws TetherfsError when the files of the image cannot be looked up. */
async function lookUp(
  trace: Trace,
  { imagePath, digest, privateFiles }: BootFilesPlace,
  options: PublishOptions,
): Promise<PlacedFiles> {
  await using source = await openFileSource(imagePath);
  const keys = await keysOf(digest, privateFiles, options.keyFile);
  return await placedFiles(source, { keys, xts: options.xts, chunkSize: trace.chunkSize });
}

async function writeBoth(trace: Trace, placed: PlacedFiles, place: BootFilesPlace): Promise<void> {
  const chunks = [...traceChunks(trace, placed.geometry)].map(chunkIndex);
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
    const isPath = isSystemError(cause) && 'path' in cause && typeof cause.path === 'string';
    throw traceWriteError(isPath ? String(cause.path) : place.imagePath + traceSuffix, cause);
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
async function verityBeside(imagePath: string): Promise<Verity> {
  const { size } = await stat(imagePath).catch(unreadable(imagePath));
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
