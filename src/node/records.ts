/** What came of a node's boot, and of what it does after it, for `tetherfs node status` and whoever asks later: files in /run/tetherfs, for root. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { bootRecordFile, onbootRecordFile } from './places.ts';
import { stepSchema } from './step.ts';

export const bootRecordSchema = z.object({
  /** As the profile says it. */
  method: z.string(),
  /** URLs of the image. */
  members: z.array(z.string()),
  /** They stood on the kernel command line: nobody else says who they are. */
  membersGiven: z.boolean(),
  digest: z.string().optional(),
  /** `none`: the image is in clear. */
  decryption: z.string(),
  /** Who the node is; absent where no member was asked. */
  identity: z.object({ node: z.string(), profile: z.string(), certificate: z.string().optional() }).optional(),
  /** Who sets up the network; absent likewise. */
  rootNetwork: z.object({ by: z.string().optional(), devices: z.array(z.string()) }).optional(),
  /** What the node has not got that has booted all the same. */
  lacks: z.array(z.string()),
  steps: z.array(stepSchema),
});
export type BootRecord = z.infer<typeof bootRecordSchema>;

export const onbootRecordSchema = z.object({
  /** `running` until the node has told its members that it has booted; `failed`: some steps have, and it has told that, too. */
  state: z.enum(['running', 'booted', 'failed']),
  /** The step under way. */
  step: z.string().optional(),
  /** Serial of a certificate that was missing at the boot. */
  certificate: z.string().optional(),
  steps: z.array(stepSchema),
  /** The trace of this boot was told to a member. */
  isTraced: z.boolean(),
});
export type OnbootRecord = z.infer<typeof onbootRecordSchema>;

export function writeBootRecord(record: BootRecord): void {
  write(bootRecordFile, record);
}

export function writeOnbootRecord(record: OnbootRecord): void {
  write(onbootRecordFile, record);
}

/** @throws TetherfsError NO_NODE_BOOT when this machine is no node that has booted by us, NOT_ROOT. */
export function readBootRecord(): BootRecord {
  const found = read(bootRecordFile, bootRecordSchema);
  if (found !== undefined) return found;
  throw new TetherfsError(
    'NO_NODE_BOOT',
    `this machine has not booted by tetherfs node boot: there is no ${bootRecordFile}`,
  );
}

/** Undefined before it has begun. */
export function readOnbootRecord(): OnbootRecord | undefined {
  return read(onbootRecordFile, onbootRecordSchema);
}

function write(path: string, record: object): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function read<T>(path: string, schema: z.ZodType<T>): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    if (errorCode(cause) !== 'EACCES') throw cause;
    throw new TetherfsError('NOT_ROOT', `${path} is for root: run this as root`, { cause });
  }
  const parsed = schema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new TetherfsError('NO_NODE_BOOT', `${path} is of another version of tetherfs`, { cause: parsed.error });
}
