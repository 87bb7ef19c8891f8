/** The report of `tetherfs bench`, as its JSON holds it: docs/bench.md explains it. Times in ms, sizes in bytes, rates in bytes a second. */
import * as z from 'zod';
import { UsageError } from '../base/errors.ts';
import { readGivenFile } from '../base/given-file.ts';
import { memberStates } from '../members/index.ts';
import { placeSchema } from './figures.ts';
import { planSchema } from './plan.ts';
import { replaySchema } from './replay.ts';

/** Counts up when an older reader would misunderstand a report. */
export const reportVersion = 1;

export const memberReportSchema = placeSchema.extend({
  url: z.string(),
  /** null: it has not told. */
  imageSize: z.int().positive().nullable(),
  /** Why it was not, or not to the end, measured. */
  leftOut: z.string().nullable(),
});
export type MemberReport = z.infer<typeof memberReportSchema>;

/** What the selection made of a member while all were asked together. */
const choiceSchema = z.object({
  url: z.string(),
  state: z.enum(memberStates),
  reason: z.string(),
  /** What it expects of the next 64 KiB, in ms. */
  scoreMs: z.number(),
  requests: z.int().nonnegative(),
  bytes: z.int().nonnegative(),
  hedges: z.int().nonnegative(),
  hedgesWon: z.int().nonnegative(),
});

export const togetherSchema = placeSchema.extend({ choice: z.array(choiceSchema) });
export type TogetherReport = z.infer<typeof togetherSchema>;

export const reportSchema = z.object({
  report: z.literal(reportVersion),
  /** Of tetherfs. */
  version: z.string(),
  /** Name of the machine that asked. */
  node: z.string(),
  began: z.iso.datetime(),
  seconds: z.number(),
  /** False: it was interrupted, and what is missing was not measured. */
  complete: z.boolean(),
  plan: planSchema,
  members: z.array(memberReportSchema),
  /** null: there was only one, or it did not come to that. */
  together: togetherSchema.nullable(),
  /** null: no trace was given or offered, there was only one member, or it did not come to that. */
  replay: replaySchema.nullable(),
});
export type Report = z.infer<typeof reportSchema>;

/** Bytes; some MB are what many members take. */
const largestFile = 256 << 20;

/** That of a file that `option` names. @throws UsageError */
export function readReport(file: string, option: string): Report {
  const text = readGivenFile(file, option, largestFile).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${option} ${file}: it is not JSON: give what an earlier run wrote with --json`, { cause });
  }
  const found = reportSchema.safeParse(json);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const where = issue?.path.join('.') ?? '';
  throw new UsageError(
    `${option} ${file}: it is no report of tetherfs bench that this version reads (${where}: ${issue?.message ?? ''})`,
  );
}
