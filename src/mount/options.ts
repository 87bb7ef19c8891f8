/**
 * What can be said about a mount, checked. The command line makes these; the daemon gets them over its IPC channel, so that
 * none of them needs to be repeated in its argv.
 */
import { z } from 'zod';
import { logFormats, logLevels } from '../base/log.ts';

export const outageModes = ['wait', 'eio'] as const;

export const mountOptionsSchema = z.object({
  /** Members, each the URL of the image. */
  urls: z.array(z.string()).min(1),
  mountpoint: z.string(),
  /** PEM file of the authorities that members' certificates are checked against; the system's store when absent. */
  caFile: z.string().optional(),
  /** confluent key file: the file shown is the decrypted payload. */
  keyFile: z.string().optional(),
  /** fs-verity digest of the image, `sha256:HEX`. */
  digest: z.string().optional(),
  /** Allows http:// without a digest. */
  allowUnverified: z.boolean(),
  /** Hard size of the arena in bytes. */
  cacheSize: z.number().int().positive(),
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
   * The kernel's page cache keeps what is read often; the arena carries read-ahead, metadata that squashfs asks for again and
   * again, and what the page cache had to drop.
   */
  cacheSize: '256MiB',
  outageTimeout: 60,
  mountTimeout: 60,
} as const;
