/** The status for people: a few lines, then a table of the members. */
import { isDigestName } from '../base/digest-name.ts';
import { formatSize } from './size.ts';
import type { MemberLine, Status } from './status.ts';
import { renderTable } from './text-table.ts';

export function renderStatus(status: Status): string {
  const { image, memory, trace, cache, reads, collective } = status;
  const verified = image.digest === undefined ? 'not verified' : `verified against ${image.digest}`;
  const lines = [
    `${status.mountpoint}/${image.file}: ${formatSize(image.fileSize)}${image.decrypting ? ', decrypted here' : image.encrypted ? ', encrypted (no --key-file)' : ''}, ${verified}`,
    status.detached && 'DETACHED: it was unmounted while it was in use, and ends with its last user',
    inMemory(memory),
    trace.source !== undefined &&
      `trace from ${trace.source}: ${trace.replayed} of ${trace.replayTotal} chunks asked for in advance`,
    `reads: ${reads.cached} cached, ${reads.waited} waited, ${reads.failed} failed, ${reads.interrupted} given up; longest wait ${seconds(reads.longestWaitMs)}`,
    reads.waiting > 0 && `WAITING: ${reads.waiting} reads, the oldest for ${seconds(reads.oldestWaitMs)}`,
    collective.outageMs > 0 && `OUTAGE: no member has been usable for ${seconds(collective.outageMs)}`,
    `cache: ${formatSize(cache.chunksPresent * cache.chunkSize)} of ${formatSize(cache.size)}; ${cache.chunksPublished} chunks fetched, ${cache.chunksRejected} refused, ${cache.chunksEvicted} evicted, ${cache.chunksPrefetched} prefetched (${cache.chunksPrefetchedRead} of them read)`,
  ];
  return `${lines.filter((line) => line !== false).join('\n')}\n${renderMembers(status.members)}\n`;
}

function inMemory({ state, bytes, totalBytes, rate, pause, passthrough, loopDevices }: Status['memory']): string {
  if (state === 'tethered') return 'tethered: what is read is fetched';
  if (state === 'filling') {
    const resting = pause === undefined ? '' : `, resting: ${pauses[pause]}`;
    return `filling RAM: ${formatSize(bytes)} of ${formatSize(totalBytes)}, ${formatSize(rate)}/s${resting}`;
  }
  const readers = [passthrough && 'the kernel reads from there', loopDevices.length > 0 && loopDevices.join(' ')];
  const how = readers.filter((reader) => reader !== false).join(', ');
  return `untethered: all ${formatSize(totalBytes)} in RAM${how && ` (${how})`}`;
}

const pauses = { demand: 'readers come first', members: 'the members are busy', rate: '--background-rate' };

/** One line a member. */
export function renderMembers(members: readonly MemberLine[]): string {
  return renderTable(
    ['member', 'asked by', 'state', 'bytes', 'requests', 'p50', 'p99', 'rate', 'hedges won', 'errors', 'why'],
    members.map((member) => [
      member.url,
      isDigestName(member.file) ? 'digest' : 'name',
      member.state,
      formatSize(member.bytes),
      String(member.requests),
      milliseconds(member.latencyP50Ms),
      milliseconds(member.latencyP99Ms),
      `${formatSize(member.throughput)}/s`,
      `${member.hedgesWon}/${member.hedges}`,
      errors(member),
      member.reason,
    ]),
  );
}

function errors(member: MemberLine): string {
  const kinds = Object.entries(member.errors).filter(([, count]) => count > 0);
  return kinds.length === 0 ? '0' : kinds.map(([kind, count]) => `${count} ${kind}`).join(', ');
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? '-' : `${value.toFixed(1)} ms`;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
