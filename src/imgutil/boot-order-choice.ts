/** Which order an image is packed in: the one that is given, or that of the last boots of the image that it replaces. */
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import { type BootOrderItem, largestBootOrderSize, parseBootOrder } from '../image/boot-order.ts';
import { bootOrderOfChunks } from '../image/boot-order-chunks.ts';
import { type ImageDigest, parseDigest } from '../image/digest.ts';
import type { Xts } from '../image/encryption.ts';
import { ImageFormatError } from '../image/errors.ts';
import { largestTraceSize, parseTrace, type Trace, traceChunks, traceSuffix } from '../image/trace.ts';
import { KeyMissingError } from './errors.ts';
import { openFileSource, readSmallText } from './file-source.ts';
import { placedFiles } from './placed-files.ts';
import type { PrivateFiles } from './private-files.ts';
import { bootOrderSuffix, newestImage, publishedPath } from './published-names.ts';

export interface BootOrder {
  readonly items: readonly BootOrderItem[];
  /** What `build-info` says of it. */
  readonly source: string;
  /** Why an order that was expected could not be had. */
  readonly problem?: string;
}

export interface BootOrderPlaces {
  /** Public: where the images lie. */
  readonly directory: string;
  /** Where keys and lists of encrypted images lie; undefined: they are not looked at. */
  readonly privateFiles: PrivateFiles | undefined;
  readonly xts: Xts | undefined;
}

/** Taken for "in no order". */
export const noBootOrder = 'none';
const traceStart = 'tetherfs-trace ';

/**
 * @param wanted a file, `none`, or undefined for what is known of the image that is replaced.
 * @throws UsageError when the file is no order, or a trace of an image that is not there.
 */
export async function chooseBootOrder(wanted: string | undefined, places: BootOrderPlaces): Promise<BootOrder> {
  if (wanted === noBootOrder) return { items: [], source: noBootOrder };
  if (wanted === undefined) return ofReplacedImage(places);
  try {
    return { items: await orderInFile(wanted, places), source: wanted };
  } catch (cause) {
    if (!(cause instanceof TetherfsError)) throw cause;
    throw new UsageError(`--boot-order ${wanted}: ${describeError(cause)}`, { cause });
  }
}

async function orderInFile(path: string, places: BootOrderPlaces): Promise<BootOrderItem[]> {
  const text = await readSmallText(path, largestBootOrderSize);
  if (text === undefined) throw new UsageError('there is no such file');
  if (!text.startsWith(traceStart)) return parseBootOrder(text);
  const trace = parseTrace(text);
  const digest = parseDigest(trace.digest);
  const newest = await newestImage(places.directory);
  return orderInTrace(trace, newest?.digest === digest ? newest.path : publishedPath(places.directory, digest), places);
}

async function orderInTrace(
  trace: Trace,
  imagePath: string,
  { privateFiles, xts }: BootOrderPlaces,
): Promise<BootOrderItem[]> {
  const keys = (await privateFiles?.keysFor(parseDigest(trace.digest))) ?? [];
  await using source = await openFileSource(imagePath);
  const placed = await placedFiles(source, { keys, xts, chunkSize: trace.chunkSize });
  const { imageSize } = placed.geometry;
  if (trace.imageSize !== imageSize)
    throw new ImageFormatError(`it has ${imageSize} bytes, its trace says ${trace.imageSize}`);
  return bootOrderOfChunks(traceChunks(trace, placed.geometry), placed);
}

/** By what nodes have posted of their boots of it: newer than what anybody has published. Undefined when there is nothing, or nothing of use. */
async function ofNodes(path: string, digest: ImageDigest, places: BootOrderPlaces): Promise<BootOrder | undefined> {
  try {
    const told = await places.privateFiles?.readTrace(digest);
    return told === undefined
      ? undefined
      : { items: await orderInTrace(parseTrace(told), path, places), source: `boots of ${digest}` };
  } catch (error) {
    if (!(error instanceof TetherfsError)) throw error;
    return undefined;
  }
}

/** Its boot order by path, else its trace. Without either, or when they are of no use, none. */
async function ofReplacedImage(places: BootOrderPlaces): Promise<BootOrder> {
  const none = { items: [], source: noBootOrder };
  const replaced = await newestImage(places.directory);
  if (replaced === undefined) return none;
  const { path, digest } = replaced;
  const told = await ofNodes(path, digest, places);
  if (told !== undefined) return told;
  try {
    const beside = await readSmallText(path + bootOrderSuffix, largestBootOrderSize);
    const text = beside ?? (await places.privateFiles?.readBootOrder(digest));
    if (text !== undefined) return { items: parseBootOrder(text), source: digest };
    const trace = await readSmallText(path + traceSuffix, largestTraceSize);
    if (trace === undefined) return none;
    return { items: await orderInTrace(parseTrace(trace), path, places), source: digest };
  } catch (error) {
    if (!(error instanceof TetherfsError)) throw error;
    const why =
      error instanceof KeyMissingError && places.privateFiles === undefined
        ? `${path} is encrypted, and what a boot reads of it stays private: give --boot-order FILE if it may be known`
        : `the trace of ${path} is of no use: ${describeError(error)}`;
    return { ...none, problem: `packed in no order, because ${why}` };
  }
}
