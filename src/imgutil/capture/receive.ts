/** What a machine sends of itself becomes a tree here. */
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describeError, errorCode, shownText } from '../../base/errors.ts';
import { CaptureError } from '../errors.ts';
import { machineRules } from '../machine-rules.ts';
import type { Visit } from '../remote-member.ts';
import { kept, masked, note } from './collector.ts';

export interface Received {
  /** What was made harmless there before it was sent. */
  readonly masked: readonly { readonly path: string; readonly what: string; readonly isLeftOut: boolean }[];
  /** What was to be kept, by its path in the tree. */
  readonly kept: readonly string[];
  /** What was not read as it was at one moment, as tar tells it. */
  readonly changed: readonly string[];
}

export interface ReceiveOptions {
  /** Made here. */
  tree: string;
  onNote: (line: string) => void;
  /** Bytes that have come. */
  onBytes: (bytes: number) => void;
  signal: AbortSignal;
}

/** Of several archives, one after the other. */
const extract = [
  ...['--extract', '--file=-', '--ignore-zeros', '--numeric-owner', '--same-owner', '--preserve-permissions'],
  ...['--xattrs', '--xattrs-include=*', '--delay-directory-restore'],
];
/** tar(1), status 1: what the file system did meanwhile. */
const changes = /: (file changed as we read it|File removed before we read it|File shrank by \d+ bytes)/;
/** It is not the machine's fault, nor a loss. */
const harmless = /: socket ignored$|Removing leading|time ?stamp .* in the future|implausibly old/;
/** What tar says here when the other side has not sent all. */
const endedEarly = /does not look like a tar archive|Unexpected EOF/;
const linesShown = 3;

/** @param script of collector(). @throws CaptureError; Error ENOSPC, AbortError */
export async function receive(visit: Visit, script: string, options: ReceiveOptions): Promise<Received> {
  const { tree, onNote, onBytes, signal } = options;
  await mkdir(tree, { mode: 0o755 });
  const found: Received['masked'][number][] = [];
  const changed: string[] = [];
  const asItIs: string[] = [];
  const complaints: string[] = [];
  // Names are bytes, and what it says is read.
  const env = { ...process.env, LC_ALL: 'C' };
  const tar = spawn('tar', [...extract, '--directory', tree], { stdio: ['pipe', 'ignore', 'pipe'], env });
  const complaint = text(tar.stderr);
  let bytes = 0;
  const counted = new Transform({
    transform(piece: Buffer, _, done) {
      bytes += piece.length;
      onBytes(bytes);
      done(null, piece);
    },
  });
  const unpacked = new Promise<number | undefined>((resolve) => {
    tar.on('error', () => resolve(undefined));
    tar.on('close', (status) => resolve(status ?? 128));
  });
  // Nobody would read on.
  void unpacked.then(() => counted.destroy());
  // It says itself why it has ended.
  pipeline(counted, tar.stdin).catch(() => {});
  const onLine = (line: string) => {
    if (line.startsWith(note)) onNote(shownText(line.slice(note.length), 300));
    else if (line.startsWith(masked)) found.push(maskedFile(line.slice(masked.length)));
    else if (line.startsWith(kept)) asItIs.push(line.slice(kept.length));
    else if (changes.test(line)) changed.push(line.replace(/^tar: \.?/, ''));
    else if (line.trim() !== '' && !harmless.test(line)) complaints.push(shownText(line, 300));
  };
  let sent: number | undefined;
  let failure: unknown;
  try {
    sent = await visit.stream(script, counted, onLine);
  } catch (error) {
    failure = error;
    counted.destroy();
  }
  const status = await unpacked;
  signal.throwIfAborted();
  if (status === undefined) throw new CaptureError('tar is missing here: install it');
  const why = (await complaint).trim();
  if (/No space left on device/.test(why)) throw Object.assign(new Error(why), { code: 'ENOSPC' });
  if (status !== 0 && !endedEarly.test(why))
    throw new CaptureError(
      `tar could not unpack what came: ${shownText(lastLines(why.split('\n')), 300) || 'it was killed'}`,
    );
  if (failure !== undefined)
    throw errorCode(failure) === 'TOOL' ? failure : new CaptureError(describeError(failure), { cause: failure });
  if (sent !== 0 || status !== 0)
    throw new CaptureError(
      `it could not send all of itself: ${lastLines(complaints) || `status ${sent ?? 'unknown'}`}`,
    );
  // What it could not give a file here it says without failing.
  const losses = why.split('\n').filter((line) => line !== '' && !harmless.test(line));
  const shown = losses.slice(0, linesShown).map((line) => shownText(line, 300));
  for (const line of [...complaints, ...shown]) onNote(line);
  return { masked: found, kept: asItIs, changed };
}

/** The reason comes after what was only noticed. */
function lastLines(lines: readonly string[]): string {
  return lines.slice(-linesShown).join('; ');
}

/** `NUMBER PATH` */
function maskedFile(line: string): Received['masked'][number] {
  const [, number = '', path = ''] = /^(\d+) (.*)$/.exec(line) ?? [];
  const rule = machineRules[Number(number)];
  return { path: shownText(path), what: rule?.what ?? '', isLeftOut: rule?.becomes === 'nothing' };
}
