/**
 * An image on one web server, read by range requests for examining it: one request at a time, no retry, and no answer
 * accepted that is not exactly what was asked for. The daemon's many-member client is another room's.
 */
import { readFile } from 'node:fs/promises';
import { Agent, buildConnector, type Dispatcher, request } from 'undici';
import { type ByteRange, describeRange, largestImage, rangeEnd } from '../base/byte-range.ts';
import { describeError } from '../base/errors.ts';
import type { FileUrl } from '../base/file-url.ts';
import { headerSize } from '../image/header.ts';
import { ImageSourceError } from './errors.ts';
import type { ClosableSource } from './file-source.ts';

/** ms until a connection, the headers, and each further piece of the body; then the read fails. */
const timeoutMs = 30_000;

export interface HttpOptions {
  /** PEM file of the authorities that sign the servers' certificates, instead of the system's. */
  caFile?: string | undefined;
}

/** @throws ImageSourceError when the server does not serve ranges of the file. */
export async function openHttpSource(url: FileUrl, options: HttpOptions = {}): Promise<ClosableSource> {
  const agent = await makeAgent(url, options);
  try {
    const { size } = await fetchRange(agent, url, { offset: 0, length: headerSize });
    return new HttpSource(agent, url, size);
  } catch (error) {
    await agent.destroy();
    throw error;
  }
}

/** All of a small file; undefined when there is none. @throws ImageSourceError when it has more than `limit` bytes. */
export async function fetchSmallFile(
  url: FileUrl,
  limit: number,
  options: HttpOptions = {},
): Promise<Uint8Array | undefined> {
  const agent = await makeAgent(url, options);
  try {
    const { statusCode, body } = await get(agent, url, {});
    if (statusCode === 404) return undefined;
    if (statusCode !== 200) throw new ImageSourceError(`${url.text} answered ${statusCode}, not 200`);
    return await readBody(url, body, limit);
  } finally {
    await agent.destroy();
  }
}

class HttpSource implements ClosableSource {
  readonly size: number;
  readonly #agent: Agent;
  readonly #url: FileUrl;

  constructor(agent: Agent, url: FileUrl, size: number) {
    this.#agent = agent;
    this.#url = url;
    this.size = size;
  }

  async read(range: ByteRange): Promise<Uint8Array> {
    const { bytes, size } = await fetchRange(this.#agent, this.#url, range);
    if (size !== this.size)
      throw new ImageSourceError(`${this.#url.text} changed from ${this.size} to ${size} bytes meanwhile`);
    if (bytes.length !== range.length)
      throw new ImageSourceError(`${this.#url.text} gave less than ${describeRange(range)}`);
    return bytes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#agent.destroy();
  }
}

async function makeAgent({ zone }: FileUrl, { caFile }: HttpOptions): Promise<Agent> {
  const ca =
    caFile === undefined
      ? {}
      : {
          ca: await readFile(caFile).catch((error: unknown) => {
            throw new ImageSourceError(`cannot read ${caFile}: ${describeError(error)}`, { cause: error });
          }),
        };
  // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
  const toHost = buildConnector({ timeout: timeoutMs, rejectUnauthorized: true, ...ca });
  const connect: buildConnector.connector = (options, callback) =>
    toHost(zone === undefined ? options : { ...options, hostname: `${options.hostname}%${zone}` }, callback);
  return new Agent({ connect, headersTimeout: timeoutMs, bodyTimeout: timeoutMs });
}

/** The bytes of the range that exist (RFC 9110, section 14), and the size of the whole file. */
async function fetchRange(agent: Agent, url: FileUrl, range: ByteRange): Promise<{ bytes: Uint8Array; size: number }> {
  const { statusCode, headers, body } = await get(agent, url, {
    range: `bytes=${range.offset}-${rangeEnd(range) - 1}`,
  });
  if (statusCode !== 206) throw new ImageSourceError(`${url.text} answered ${statusCode} to a range request, not 206`);
  const contentRange = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(String(headers['content-range']));
  if (contentRange === null) throw new ImageSourceError(`${url.text} answered 206 without a usable Content-Range`);
  const [first, last, size] = contentRange.slice(1).map(Number);
  if (
    first !== range.offset ||
    last === undefined ||
    size === undefined ||
    size > largestImage ||
    last !== Math.min(rangeEnd(range), size) - 1
  ) {
    throw new ImageSourceError(`${url.text} answered ${contentRange[0]}, asked for was ${describeRange(range)}`);
  }
  const length = last + 1 - range.offset;
  const bytes = await readBody(url, body, length);
  if (bytes.length !== length)
    throw new ImageSourceError(`${url.text} sent ${bytes.length} bytes of ${describeRange(range)}`);
  return { bytes, size };
}

async function get(agent: Agent, url: FileUrl, headers: Record<string, string>): Promise<Dispatcher.ResponseData> {
  const response = await request(url.url, {
    dispatcher: agent,
    headers: { 'accept-encoding': 'identity', ...headers },
  }).catch((error: unknown) => {
    throw new ImageSourceError(`cannot read ${url.text}: ${describeError(error)}`, { cause: error });
  });
  const encoding = response.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new ImageSourceError(
      `${url.text} answered with Content-Encoding ${encoding} though only identity was accepted`,
    );
  }
  return response;
}

async function readBody(url: FileUrl, body: AsyncIterable<Uint8Array>, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of body) {
      length += part.length;
      if (length > limit) throw new ImageSourceError(`${url.text} sends more than the ${limit} bytes that it may send`);
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof ImageSourceError) throw error;
    throw new ImageSourceError(`cannot read ${url.text}: ${describeError(error)}`, { cause: error });
  }
  return Buffer.concat(parts);
}
