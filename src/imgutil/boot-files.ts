/**
 * What is kept of an image's boots: the trace that nodes replay, beside the image; and the same by path, which outlives a repack. Names of an
 * encrypted image's files are nobody's business: they lie where its key lies.
 */
import { describeError, TetherfsError } from '../base/errors.ts';
import { type BootOrderItem, formatBootOrder } from '../image/boot-order.ts';
import { chunksOfBootOrder, type PlacedFiles } from '../image/boot-order-chunks.ts';
import type { ImageDigest } from '../image/digest.ts';
import { formatTrace, traceSuffix } from '../image/trace.ts';
import type { PrivateFiles } from './private-files.ts';
import { bootOrderSuffix } from './published-names.ts';
import type { StagedFiles } from './staged-files.ts';

export interface BootFilesPlace {
  /** Of the published image. */
  readonly imagePath: string;
  readonly digest: ImageDigest;
  /** undefined for an image in clear. */
  readonly privateFiles: PrivateFiles | undefined;
}

/** Where the list by path lies. */
export function bootOrderPath({ imagePath, digest, privateFiles }: BootFilesPlace): string {
  return privateFiles === undefined ? imagePath + bootOrderSuffix : privateFiles.bootOrder(digest);
}

/** Stages the list by path. */
export async function stageBootOrder(
  staged: StagedFiles,
  items: readonly BootOrderItem[],
  place: BootFilesPlace,
): Promise<void> {
  const file = await staged.create(bootOrderPath(place), place.privateFiles === undefined ? 0o644 : 0o600);
  await file.appendFile(formatBootOrder(items), 'latin1');
}

/** Stages a trace. @param chunks in order. */
export async function stageTrace(
  staged: StagedFiles,
  chunks: Uint32Array,
  geometry: PlacedFiles['geometry'],
  { imagePath, digest }: BootFilesPlace,
): Promise<void> {
  const { imageSize, chunkSize } = geometry;
  const file = await staged.create(imagePath + traceSuffix, 0o644);
  await file.appendFile(formatTrace({ digest, imageSize, chunkSize, chunks }), 'latin1');
}

/**
 * Stages both for an image that nobody has booted, from what boots of another read; nothing when they read none of its files.
 * @param lookUp where its files lie. @returns why there is no trace, if so: then there is the list alone.
 */
export async function stageBootFiles(
  staged: StagedFiles,
  items: readonly BootOrderItem[],
  place: BootFilesPlace,
  lookUp: () => Promise<PlacedFiles>,
): Promise<string | undefined> {
  if (items.length === 0) return undefined;
  await stageBootOrder(staged, items, place);
  try {
    const placed = await lookUp();
    await stageTrace(staged, chunksOfBootOrder(items, placed), placed.geometry, place);
    return undefined;
  } catch (error) {
    if (!(error instanceof TetherfsError)) throw error;
    return `it has no trace: ${describeError(error)}`;
  }
}
