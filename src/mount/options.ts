/**
 * What can be said about a mount, checked. The command line makes these; the daemon gets them over its IPC channel, so that
 * none of them needs to be repeated in its argv.
 */
import * as z from 'zod';
import { logFormats, logLevels } from '../base/log.ts';
import { parseSize } from '../base/size.ts';
import type { ImageMethod } from '../profile/index.ts';

export const outageModes = ['wait', 'eio'] as const;
export const imageMethods = ['tethered', 'untethered', 'progressive'] as const satisfies readonly ImageMethod[];
/** `keep`: in the kernel's page cache; `drop`: there, until the readers rest; `none`: nowhere. */
export const pageCaches = ['keep', 'drop', 'none'] as const;

/** `kernel`: /dev/fuse, answered in C; `libfuse`: the library, through JavaScript. */
export const transports = ['kernel', 'libfuse'] as const;

export const mountOptionsSchema = z.object({
  /** Members, each the URL of the image. */
  urls: z.tuple([z.string()], z.string()),
  mountpoint: z.string(),
  /** Whence some of them come: the path of a file, and those that it alone named when it was last read. */
  membersFrom: z.object({ file: z.string(), urls: z.array(z.string()) }).optional(),
  /** PEM file of the authorities that members' certificates are checked against; the system's store when absent. */
  caFile: z.string().optional(),
  /** Directory of such files, besides. */
  caDir: z.string().optional(),
  /** confluent key file: the file shown is the decrypted payload. */
  keyFile: z.string().optional(),
  /** fs-verity digest of the image, `sha256:HEX`. */
  digest: z.string().optional(),
  /** Allows http:// without a digest. */
  allowUnverified: z.boolean(),
  /** How the image is held, whatever the profile says. */
  imageMethod: z.enum(imageMethods).optional(),
  /** profile.yaml that says how, a file or a URL; the kernel command line when absent. */
  profile: z.string().optional(),
  /** Bytes a second at most for filling RAM behind the reads. */
  backgroundRate: z.number().int().positive().optional(),
  /** Trace file of an earlier boot to get in advance; false: none; absent: what the members offer beside the image. */
  trace: z.union([z.string(), z.literal(false)]).optional(),
  /** Where else than in the arena bytes of the file stay. */
  pageCache: z.enum(pageCaches),
  /** How the kernel's requests come. A predecessor may not have known of another. */
  transport: z.enum(transports).default('kernel'),
  /** Hard size of the arena in bytes. */
  cacheSize: z.number().int().positive(),
  /** What is left of it when the readers rest, in bytes. */
  idleCacheSize: z.number().int().nonnegative(),
  /** Seconds in which readers who rest have read next to nothing. A predecessor may not have known of it. */
  idleTime: z
    .number()
    .min(0.1)
    .max(86_400)
    .default(() => defaults.idleTime),
  onOutage: z.enum(outageModes),
  /** Seconds without any usable member after which reads fail, with `onOutage: eio`. */
  outageTimeout: z.number().positive(),
  /** Seconds until a mount without any usable member is given up; 0 = never. */
  mountTimeout: z.number().nonnegative(),
  /** Path of the control socket. */
  control: z.string(),
  /** `ADDRESS:PORT` or `unix:PATH` of the metrics listener. */
  metrics: z.string().optional(),
  logLevel: z.enum(logLevels),
  logFormat: z.enum(logFormats),
});
export type MountOptions = z.infer<typeof mountOptionsSchema>;

export const defaults = {
  /**
   * While a node boots: what was got in advance and metadata that squashfs asks for again and again. When it rests, squashfs' own page
   * cache has what it needs. bench/memory-arrangements.ts.
   */
  cacheSize: '256MiB',
  idleCacheSize: '16MiB',
  idleTime: 10,
  pageCache: 'drop',
  transport: 'kernel',
  onOutage: 'wait',
  outageTimeout: 60,
  mountTimeout: 60,
  logLevel: 'info',
  logFormat: 'text',
} as const;

/** What must be said of a mount; all else is as the command line has it when nothing is said. */
type Needed = Pick<MountOptions, 'urls' | 'mountpoint' | 'control'>;

export function withDefaults(options: Needed & Partial<MountOptions>): MountOptions {
  return {
    ...defaults,
    allowUnverified: false,
    cacheSize: parseSize(defaults.cacheSize, '--cache-size'),
    idleCacheSize: parseSize(defaults.idleCacheSize, '--idle-cache-size'),
    ...options,
  };
}
