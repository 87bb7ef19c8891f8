/**
 * How the image is to be held: as the flag says, else as the profile says, else as the kernel command line does, else tethered.
 */
import { readFileSync } from 'node:fs';
import { describeError, UsageError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { fetchSmallFile } from '../members/index.ts';
import {
  type ImageMethod,
  imageMethodOf,
  imageMethodOfCommandLine,
  largestProfileSize,
  type SaidMethod,
} from '../profile/index.ts';
import type { MountOptions } from './options.ts';

/** @throws UsageError when the profile cannot be read or says something that is no image method. */
export async function chooseImageMethod(options: MountOptions, log: Log): Promise<ImageMethod> {
  const { imageMethod: flag, profile } = options;
  const source = profile ?? '/proc/cmdline';
  if (flag !== undefined) {
    // Only to say so: what cannot be read, or makes no sense, is of no importance then.
    const overridden = await whatIsSaid(options).catch(() => undefined);
    if (overridden !== undefined && overridden.method !== flag) {
      log.info('--image-method overrides the profile', { method: flag, said: overridden.word, source });
    }
    return flag;
  }
  const said = await whatIsSaid(options);
  if (said === undefined) return 'tethered';
  log.info('image method', { method: said.method, said: said.word, source });
  return said.method;
}

async function whatIsSaid(options: MountOptions): Promise<SaidMethod | undefined> {
  const { profile } = options;
  return profile === undefined ? fromCommandLine() : imageMethodOf(await readProfile(profile, options), profile);
}

function fromCommandLine(): SaidMethod | undefined {
  return imageMethodOfCommandLine(readFileSync('/proc/cmdline', 'utf8'), '/proc/cmdline');
}

async function readProfile(source: string, { caFile }: MountOptions): Promise<string> {
  if (/^https?:/i.test(source)) {
    const ca = caFile === undefined ? undefined : [readFileSync(caFile, 'utf8')];
    const bytes = await fetchSmallFile(source, { ca, maxBytes: largestProfileSize, time: systemTime });
    return Buffer.from(bytes).toString('utf8');
  }
  try {
    return readFileSync(source, 'utf8');
  } catch (cause) {
    throw new UsageError(`--profile ${source}: ${describeError(cause)}`, { cause });
  }
}
