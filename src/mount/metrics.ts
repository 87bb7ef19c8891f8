/**
 * The metrics, Prometheus base units. One table: docs/metrics.md is checked against it by a test. Values are read from the
 * status at the moment of a scrape; nothing is counted twice.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { parseListenAddress } from '../base/listen-address.ts';
import { type RenderedMetrics, serveMetrics } from '../base/metrics-server.ts';
import { type MemberState, memberStates } from '../members/contract.ts';
import type { Listener } from './listeners.ts';
import { claimSocketFile, removeSocketFile } from './socket-file.ts';
import type { MemberLine, Status } from './status.ts';

interface Metric {
  name: string;
  help: string;
  labels: readonly string[];
  /** Values now, each with its labels' values in the order of `labels`. */
  values: (status: Status) => (readonly [value: number, ...labels: string[]])[];
}

function plain(name: string, help: string, value: (status: Status) => number): Metric {
  return { name, help, labels: [], values: (status) => [[value(status)]] };
}

function perMember(name: string, help: string, value: (member: MemberLine) => number): Metric {
  return { name, help, labels: ['member'], values: ({ members }) => members.map((m) => [value(m), m.url] as const) };
}

/** Names ending in `_total` only ever grow while the daemon lives. */
export const metrics: readonly Metric[] = [
  perMember('tetherfs_member_requests_total', 'Range requests sent to the member', (m) => m.requests),
  perMember('tetherfs_member_received_bytes_total', 'Body bytes received from the member', (m) => m.bytes),
  perMember('tetherfs_member_hedges_total', 'Hedges sent to the member', (m) => m.hedges),
  perMember('tetherfs_member_hedges_won_total', 'Hedges to the member whose bytes came first', (m) => m.hedgesWon),
  perMember('tetherfs_member_requests_in_flight', 'Requests under way at the member', (m) => m.inFlight),
  perMember('tetherfs_member_connections', 'Connections to the member', (m) => m.connections),
  perMember('tetherfs_member_score_seconds', 'Expected time for the next 64 KiB', (m) => m.scoreMs / 1000),
  perMember('tetherfs_member_throughput_bytes_per_second', 'Recent throughput of the member', (m) => m.throughput),
  {
    name: 'tetherfs_member_latency_seconds',
    help: 'Time to first byte of recent requests',
    labels: ['member', 'quantile'],
    values: ({ members }) =>
      members.flatMap(({ url, latencyP50Ms, latencyP99Ms }) => [
        ...(latencyP50Ms === undefined ? [] : [[latencyP50Ms / 1000, url, '0.5'] as const]),
        ...(latencyP99Ms === undefined ? [] : [[latencyP99Ms / 1000, url, '0.99'] as const]),
      ]),
  },
  {
    name: 'tetherfs_member_errors_total',
    help: 'Failed attempts at the member, by cause',
    labels: ['member', 'cause'],
    values: ({ members }) =>
      members.flatMap(({ url, errors }) =>
        Object.entries(errors).map(([cause, count]) => [count, url, cause] as const),
      ),
  },
  {
    name: 'tetherfs_member_state',
    help: '1 for the state that the member is in, 0 for the others',
    labels: ['member', 'state'],
    values: ({ members }) =>
      members.flatMap((m) =>
        memberStates.map((state: MemberState) => [Number(m.state === state), m.url, state] as const),
      ),
  },
  plain(
    'tetherfs_outage_seconds',
    'How long no member has been usable; 0 while one is',
    (s) => s.collective.outageMs / 1000,
  ),
  plain('tetherfs_wasted_bytes_total', 'Bytes received that nobody used', (s) => s.collective.bytesWasted),
  plain(
    'tetherfs_fetches_demand_in_flight',
    'Fetches under way that a reader waits for',
    (s) => s.collective.demandInFlight,
  ),
  plain('tetherfs_fetches_prefetch_in_flight', 'Prefetches under way', (s) => s.collective.prefetchInFlight),
  plain('tetherfs_reads_cached_total', 'Reads answered from the arena at once', (s) => s.reads.cached),
  plain('tetherfs_reads_waited_total', 'Reads that had to wait for a fetch', (s) => s.reads.waited),
  plain('tetherfs_reads_failed_total', 'Reads answered with an error', (s) => s.reads.failed),
  plain('tetherfs_reads_interrupted_total', 'Reads given up by their reader', (s) => s.reads.interrupted),
  plain('tetherfs_read_bytes_total', 'Bytes answered to readers', (s) => s.reads.bytes),
  plain('tetherfs_reads_waiting', 'Reads waiting now', (s) => s.reads.waiting),
  plain(
    'tetherfs_read_oldest_wait_seconds',
    'How long the oldest waiting read has waited',
    (s) => s.reads.oldestWaitMs / 1000,
  ),
  plain(
    'tetherfs_read_longest_wait_seconds',
    'The longest wait of any read so far',
    (s) => s.reads.longestWaitMs / 1000,
  ),
  plain('tetherfs_memory_image_bytes', 'Bytes of the image that lie in the RAM file', (s) => s.memory.bytes),
  plain('tetherfs_untethered', '1 when all of the image is in RAM and the members are not needed', (s) =>
    Number(s.memory.state === 'untethered'),
  ),
  plain('tetherfs_trace_chunks', 'Chunks in the trace of first touches', (s) => s.trace.chunks),
  plain('tetherfs_trace_replayed_chunks_total', "Chunks of an earlier boot's trace asked for", (s) => s.trace.replayed),
  plain('tetherfs_cache_size_bytes', 'Hard size of the arena', (s) => s.cache.size),
  plain('tetherfs_cache_used_bytes', 'Bytes of chunks in the arena', (s) => s.cache.chunksPresent * s.cache.chunkSize),
  plain('tetherfs_cache_chunks_published_total', 'Chunks brought into the arena', (s) => s.cache.chunksPublished),
  plain('tetherfs_cache_chunks_rejected_total', 'Chunks that the digest refused', (s) => s.cache.chunksRejected),
  plain('tetherfs_cache_chunks_evicted_total', 'Chunks evicted', (s) => s.cache.chunksEvicted),
  plain(
    'tetherfs_cache_chunks_prefetched_total',
    'Chunks that came before anyone waited',
    (s) => s.cache.chunksPrefetched,
  ),
  plain(
    'tetherfs_cache_chunks_prefetched_read_total',
    'Of those, chunks that were read',
    (s) => s.cache.chunksPrefetchedRead,
  ),
  plain(
    'tetherfs_resident_memory_bytes',
    'Resident memory of the daemon, arena included',
    (s) => s.process.residentBytes,
  ),
  plain('tetherfs_uptime_seconds', 'Age of the daemon', (s) => s.uptimeMs / 1000),
];

/**
 * Serves `GET /metrics`. @param address `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
 * @throws UsageError for an address that is none; TetherfsError METRICS_LISTEN when it cannot be listened on.
 */
export async function startMetricsServer(address: string, status: () => Promise<Status>): Promise<Listener> {
  const render = await buildRegistry(status);
  const target = parseListenAddress(address, '--metrics');
  if ('path' in target) await claimSocketFile(target.path, '--metrics', 'METRICS_LISTEN');
  const server = await serveMetrics(address, target, render);
  let left = false;
  const leave = () => {
    server.close();
    if (!left && 'path' in target) removeSocketFile(target.path);
    left = true;
  };
  return {
    leave,
    close() {
      leave();
      server.closeAllConnections();
    },
  };
}

/** Every metric takes its values from one snapshot, taken when the registry is asked. */
async function buildRegistry(status: () => Promise<Status>): Promise<() => Promise<RenderedMetrics>> {
  const registry = new Registry();
  let snapshot = await status();
  for (const { name, help, labels, values } of metrics) {
    const configuration = { name, help, labelNames: [...labels], registers: [registry] };
    if (name.endsWith('_total')) {
      const counter = new Counter({
        ...configuration,
        collect() {
          counter.reset();
          for (const [value, ...labelValues] of values(snapshot)) counter.labels(...labelValues).inc(value);
        },
      });
    } else {
      const gauge = new Gauge({
        ...configuration,
        collect() {
          gauge.reset();
          for (const [value, ...labelValues] of values(snapshot)) gauge.labels(...labelValues).set(value);
        },
      });
    }
  }
  return async () => {
    snapshot = await status();
    return { text: await registry.metrics(), contentType: registry.contentType };
  };
}
