/**
 * What is known of a member, as plain values for a successor of this process: it goes on with the same opinion of each member, and asks all
 * of them anew at once.
 */
import * as z from 'zod';
import { memberStates } from './contract.ts';

export const memberMemorySchema = z.object({
  url: z.string(),
  state: z.enum(memberStates),
  reason: z.string(),
  /** Of its name, the next to be used first. */
  addresses: z.array(z.string()).max(64).default([]),
  /** Name of the file it was identified by; absent: the one in its URL. */
  file: z.string().optional(),
  /** What that file was identified with. */
  pin: z.object({ etag: z.string().optional(), lastModified: z.string().optional() }).optional(),
  /** ms; absent before the first sample. */
  latencyMs: z.number().nonnegative().optional(),
  /** Bytes a second; absent before the first sample. */
  throughput: z.number().nonnegative().optional(),
  /** The last first-byte times, in ms, oldest first. */
  latencies: z.array(z.number().nonnegative()).max(1024),
});
export type MemberMemory = z.output<typeof memberMemorySchema>;
