/**
 * The status of a mount as `tetherfs status --json` prints it and the control socket serves it: one schema, for the daemon that
 * makes it and the client that reads it. Sizes in bytes, times in ms, rates in bytes a second.
 */
import * as z from 'zod';
import { memberStates } from '../members/contract.ts';
import { imageMethods, transports } from './options.ts';

const count = z.number().nonnegative();

const memberSchema = z.object({
  url: z.string(),
  /** Name of the file that it is asked for: the URL's, or `rootimg-DIGEST.sfs`. */
  file: z.string(),
  state: z.enum(memberStates),
  reason: z.string(),
  sinceMs: count,
  scoreMs: count,
  latencyP50Ms: count.optional(),
  latencyP99Ms: count.optional(),
  throughput: count,
  inFlight: count,
  connections: count,
  requests: count,
  bytes: count,
  errors: z.record(z.string(), count),
  hedges: count,
  hedgesWon: count,
});

export const statusSchema = z.object({
  version: z.string(),
  pid: count,
  mountpoint: z.string(),
  /** It was unmounted while it was in use, and ends with its last user. */
  detached: z.boolean().default(false),
  uptimeMs: count,
  /** `wait`: reads wait through an outage; `eio`: they fail after its time-out. */
  onOutage: z.enum(['wait', 'eio']),
  image: z.object({
    file: z.string(),
    /** Bytes as served, and bytes of the file shown. */
    size: count,
    fileSize: count,
    /** `sha256:HEX`; absent when bytes are not verified. */
    digest: z.string().optional(),
    blockSize: count.optional(),
    encrypted: z.boolean(),
    decrypting: z.boolean(),
  }),
  members: z.array(memberSchema),
  collective: z.object({
    outageMs: count,
    bytesWasted: count,
    demandInFlight: count,
    prefetchInFlight: count,
  }),
  /** The image in RAM, beside the cache. */
  memory: z.object({
    /** What was asked for when it was mounted. */
    method: z.enum(imageMethods),
    /** What is true now. */
    state: z.enum(['tethered', 'filling', 'untethered']),
    bytes: count,
    totalBytes: count,
    /** Bytes a second lately, while filling. */
    rate: count,
    /** Why filling rests at this moment: readers wait, members are busy, the rate is used up. */
    pause: z.enum(['demand', 'members', 'rate']).optional(),
    /** The kernel reads straight from RAM. */
    passthrough: z.boolean(),
    /** Loop devices that were moved to RAM. */
    loopDevices: z.array(z.string()),
  }),
  /** First touches, recorded for the next boot, and the replay of an earlier boot's. */
  trace: z.object({
    recording: z.boolean(),
    chunks: count,
    /** Where the replayed trace came from; absent when there is none. */
    source: z.string().optional(),
    replayTotal: count,
    replayed: count,
  }),
  cache: z.object({
    size: count,
    chunkSize: count,
    slotsTotal: count,
    slotsFree: count,
    chunksPresent: count,
    chunksInFlight: count,
    chunksPublished: count,
    chunksRejected: count,
    chunksEvicted: count,
    chunksPrefetched: count,
    chunksPrefetchedRead: count,
  }),
  reads: z.object({
    cached: count,
    waited: count,
    failed: count,
    interrupted: count,
    bytes: count,
    waiting: count,
    oldestWaitMs: count,
    longestWaitMs: count,
  }),
  fuse: z.object({
    transport: z.enum(transports).default('kernel'),
    /** Empty where libfuse keeps it to itself. */
    protocol: z.string(),
    maxReadBytes: count,
    readAheadKiB: count.optional(),
  }),
  process: z.object({ residentBytes: count }),
});
export type Status = z.infer<typeof statusSchema>;
export type MemberLine = z.infer<typeof memberSchema>;

/** Every member, and why it is not up, on one line. */
export function describeMembers(members: readonly MemberLine[]): string {
  return members
    .map(({ url, state, reason }) => `${url} (${reason === '' ? state : `${state}: ${reason}`})`)
    .join('; ');
}
