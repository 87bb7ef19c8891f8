/** The status for people: a few lines, then a table of the members. */
import { isDigestName } from '../base/digest-name.ts';
import { formatSize } from '../base/size.ts';
import { renderTable, wrapText } from '../base/text-table.ts';
import type { MemberLine, Status } from './status.ts';

export interface StatusForm {
  /** Everything, however long the lines are; else what fits a terminal of 80 columns. */
  wide: boolean;
}

const columns = 80;

/** Only the path of the mount may be longer than 80 columns. */
export function renderStatus(status: Status, { wide }: StatusForm): string {
  const { image, memory, trace, cache, reads, collective } = status;
  const digest = wide ? image.digest : image.digest && `${image.digest.slice(0, 'sha256:'.length + 12)}…`;
  const verified = digest === undefined ? 'not verified' : `verified against ${digest}`;
  const decrypted = image.decrypting ? ', decrypted here' : image.encrypted ? ', encrypted (no --key-file)' : '';
  const lines = [
    `${formatSize(image.fileSize)}${decrypted}, ${verified}`,
    status.fuse.transport === 'libfuse' && 'by --transport libfuse',
    status.detached && 'DETACHED: it was unmounted while it was in use, and ends with its last user',
    inMemory(memory),
    trace.source !== undefined &&
      `trace from ${trace.source}: ${trace.replayed} of ${trace.replayTotal} chunks asked for in advance`,
    `reads: ${reads.cached} cached, ${reads.waited} waited, ${reads.failed} failed, ${reads.interrupted} given up; longest wait ${seconds(reads.longestWaitMs)}`,
    reads.waiting > 0 && `WAITING: ${reads.waiting} reads, the oldest for ${seconds(reads.oldestWaitMs)}`,
    collective.outageMs > 0 && `OUTAGE: no member has been usable for ${seconds(collective.outageMs)}`,
    `cache: ${formatSize(cache.chunksPresent * cache.chunkSize)} of ${formatSize(cache.size)}; ${cache.chunksPublished} chunks fetched, ${cache.chunksRejected} refused, ${cache.chunksEvicted} evicted, ${cache.chunksPrefetched} prefetched (${cache.chunksPrefetchedRead} of them read)`,
  ].filter((line) => line !== false);
  const path = `${status.mountpoint}/${image.file}`;
  if (wide) return `${[path, ...lines].join('\n')}\n${renderMembers(status.members)}\n`;
  const wrapped = lines.flatMap((line) => wrapText(line, columns, '  '));
  return `${[path, ...wrapped].join('\n')}\n${renderMembersShort(status.members)}\n`;
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

/** In 80 columns: one line a member, and why it is not up. */
function renderMembersShort(members: readonly MemberLine[]): string {
  const names = shortNames(members.map(({ url }) => url));
  const [head = '', ...rows] = renderTable(
    ['member', 'state', 'bytes', 'p50', 'rate', 'errors'],
    members.map((member, index) => [
      names[index] ?? '',
      member.state,
      formatSize(member.bytes),
      milliseconds(member.latencyP50Ms),
      rate(member),
      String(Object.values(member.errors).reduce((sum, count) => sum + count, 0)),
    ]),
  ).split('\n');
  const why = members.map(({ reason }) => (reason === '' ? [] : wrapText(reason, columns, '    ')));
  return [head, ...rows.flatMap((row, index) => [row, ...(why[index] ?? [])])].join('\n');
}

const longestName = 26;

/** Host and port where they tell members apart. */
function shortNames(urls: readonly string[]): string[] {
  const isOnly = (host: string) => hosts.filter((other) => other === host).length === 1;
  const hosts = urls.map((url) => url.replace(/^https?:\/\//i, '').replace(/\/.*$/s, ''));
  return hosts.map((host, index) => {
    if (host.length <= longestName && isOnly(host)) return host;
    // Machines of a site differ in how their names begin.
    const mark = ` (${index + 1})`;
    const room = longestName - mark.length;
    return (host.length <= room ? host : `${host.slice(0, room - 1)}…`) + mark;
  });
}

/** One line a member, everything. */
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
      rate(member),
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

/** Before it has sent anything there is only a guess. */
function rate({ bytes, throughput }: MemberLine): string {
  return bytes === 0 ? '-' : `${formatSize(throughput)}/s`;
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? '-' : `${value.toFixed(1)} ms`;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
