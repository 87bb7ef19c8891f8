/**
 * The progress of a long transfer, one line on a terminal, redrawn in place; nothing where the stream is no terminal:
 *
 *     pulling rootimg.sfs  [##########··········]  52 %  1.0 of 2.0 GiB  105 MiB/s  9 s left
 */
import { systemTime, type TimeSource } from '../base/time-source.ts';

export interface Progress {
  bytes: number;
  totalBytes: number;
  /** Bytes a second, lately. */
  rate: number;
}

export interface ProgressBar {
  /** Without a rate it is that of the last seconds of updates. */
  update(progress: Omit<Progress, 'rate'> & { rate?: number | undefined }): void;
  /** Takes the line away, so that other lines can be written; the next update draws it again. */
  clear(): void;
}

export interface WorkBar {
  /** @param share of the work that is done, 0 to 1. @param what is done now. */
  update(share: number, what: string): void;
  clear(): void;
}

/** Columns of the bar between its brackets. A terminal that has no room for the narrowest gets no bar. */
const widest = 40;
const narrowest = 10;
/** Between two redraws, in ms. */
const pauseMs = 100;
/** Of a bar that nobody updates meanwhile, in ms. */
const redrawMs = 1_000;
/** What the rate is taken over, in ms. */
const rateMs = 5_000;

export function progressBar(
  label: string,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'> = process.stderr,
  time: TimeSource = systemTime,
): ProgressBar {
  // a name out of a URL may hold anything
  const printable = label.replaceAll(/\p{Cc}/gu, '?');
  let samples: { at: number; bytes: number }[] = [];
  let drawnAt = Number.NEGATIVE_INFINITY;
  let shown = false;
  return {
    update({ bytes, totalBytes, rate }) {
      const now = time.now();
      if (!stream.isTTY || (now - drawnAt < pauseMs && bytes < totalBytes)) return;
      samples = [...samples.filter(({ at }) => now - at <= rateMs), { at: now, bytes }];
      const state = { bytes, totalBytes, rate: rate ?? rateOf(samples) };
      stream.write(`\r${renderProgress(printable, state, stream.columns)}\x1b[K`);
      drawnAt = now;
      shown = true;
    },
    clear() {
      if (shown) stream.write('\r\x1b[K');
      shown = false;
      drawnAt = Number.NEGATIVE_INFINITY;
    },
  };
}

/** The same for work that is not bytes; the time left is what the share took so far promises. Redrawn every second, until it is cleared. */
export function workBar(
  label: string,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'> = process.stderr,
  time: TimeSource = systemTime,
): WorkBar {
  const began = time.now();
  let state: { share: number; what: string; leftMs: number | undefined; at: number } | undefined;
  let cancel = () => {};
  const draw = () => {
    cancel();
    if (!stream.isTTY || state === undefined) return;
    const { share, what, leftMs, at } = state;
    const left = leftMs === undefined ? [] : [`${duration((leftMs - (time.now() - at)) / 1_000)} left`];
    const percent = `${Math.floor(share * 100)} %`;
    const line = renderLine(label, share, [[percent, ...left, what], [percent, ...left], [percent]], stream.columns);
    stream.write(`\r${line}\x1b[K`);
    cancel = time.after(redrawMs, draw);
  };
  return {
    update(share, what) {
      const at = time.now();
      state = { share, what, at, leftMs: share > 0 ? ((at - began) * (1 - share)) / share : undefined };
      draw();
    },
    clear() {
      cancel();
      if (stream.isTTY && state !== undefined) stream.write('\r\x1b[K');
      state = undefined;
    },
  };
}

function rateOf(samples: readonly { at: number; bytes: number }[]): number {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return 0;
  return Math.max(0, ((last.bytes - first.bytes) / (last.at - first.at)) * 1_000);
}

/** The line, shorter than `columns`: a narrow terminal gets a shorter bar, then fewer facts, the least important left out first. */
export function renderProgress(label: string, { bytes, totalBytes, rate }: Progress, columns: number): string {
  const share = totalBytes > 0 ? Math.min(bytes / totalBytes, 1) : 1;
  const percent = `${Math.floor(share * 100)} %`;
  const speed = rate > 0 ? [`${scaled(rate, rate)} ${unitOf(rate)}/s`] : [];
  const left = rate > 0 ? [`${duration((totalBytes - bytes) / rate)} left`] : [];
  const amount = `${scaled(bytes, totalBytes)} of ${scaled(totalBytes, totalBytes)} ${unitOf(totalBytes)}`;
  const facts = [[percent, amount, ...speed, ...left], [percent, ...speed, ...left], [percent, ...left], [percent]];
  return renderLine(label, share, facts, columns);
}

/** @param choices of what is said behind the bar, the one that is used where there is room first. */
function renderLine(label: string, share: number, choices: readonly (readonly string[])[], columns: number): string {
  // the last column stays free: some terminals wrap when it is written
  const room = columns - 1;
  for (const facts of choices) {
    const behind = facts.join('  ');
    const width = Math.min(room - `${label}  []  ${behind}`.length, widest);
    if (width >= narrowest) return `${label}  [${bar(share, width)}]  ${behind}`;
  }
  return `${label}  ${choices.at(-1)?.join('  ') ?? ''}`.slice(0, Math.max(0, room));
}

function bar(share: number, width: number): string {
  const full = Math.floor(share * width);
  return '#'.repeat(full) + '·'.repeat(width - full);
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

function powerOf(bytes: number): number {
  return bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
}

function unitOf(bytes: number): string {
  return units[powerOf(bytes)] ?? '';
}

/** In the unit of `measure`, with one decimal where that tells something. */
function scaled(bytes: number, measure: number): string {
  const power = powerOf(measure);
  const value = bytes / 1024 ** power;
  return value.toFixed(power > 0 && measure / 1024 ** power < 100 ? 1 : 0);
}

function duration(seconds: number): string {
  const whole = Math.ceil(Math.max(0, seconds));
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
