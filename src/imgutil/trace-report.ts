/** What a trace says, for people and for programs. */
import { ImageGeometry } from '../image/geometry.ts';
import type { Trace } from '../image/trace.ts';

export interface TraceSummary extends Trace {
  readonly chunks: number;
  /** Bytes of the image that were touched. */
  readonly bytes: number;
  /** Of the image, 0 to 1. */
  readonly share: number;
}

export function summarizeTrace(trace: Trace): TraceSummary {
  const geometry = new ImageGeometry(trace.imageSize, trace.chunkSize);
  const bytes = trace.runs.reduce((sum, { first, count }) => sum + geometry.rangeOf(first, count).length, 0);
  const chunks = trace.runs.reduce((sum, { count }) => sum + count, 0);
  return { ...trace, chunks, bytes, share: bytes / trace.imageSize };
}

/** How many runs are shown. */
const firstRuns = 8;

/** Ends with a newline. */
export function formatTraceSummary(source: string, summary: TraceSummary): string {
  const { digest, imageSize, chunkSize, chunks, bytes, share, runs } = summary;
  const shown = runs
    .slice(0, firstRuns)
    .map(({ first, count }) => (count === 1 ? `${first}` : `${first}-${first + count - 1}`));
  const more = runs.length > firstRuns ? `, and ${runs.length - firstRuns} more runs` : '';
  const rows = [
    ['trace', source],
    ['digest', digest],
    ['image', `${imageSize} bytes (${mebibytes(imageSize)})`],
    [
      'touched',
      `${chunks} chunks of ${chunkSize / 1024} KiB, ${mebibytes(bytes)}: ${(share * 100).toFixed(1)} % of the image`,
    ],
    ['in order', runs.length === 0 ? 'nothing' : `chunks ${shown.join(', ')}${more}`],
  ];
  return rows.map(([name = '', value]) => `${name.padEnd(8)} ${value}\n`).join('');
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
