/**
 * How the image is to be held: as the flag says, else as the profile says, else as the kernel command line does, else tethered.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, UsageError } from '../base/errors.ts';
import { isFileUrl, parseFileUrl } from '../base/file-url.ts';
import { readGivenFile } from '../base/given-file.ts';
import type { Log } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { FetchFailedError, fetchSmallFile, givenAuthorities } from '../members/index.ts';
import {
  type ImageMethod,
  imageMethodOf,
  imageMethodOfCommandLine,
  largestProfileSize,
  type SaidMethod,
} from '../profile/index.ts';
import type { MountOptions } from './options.ts';

/** Between two tries for a profile, in ms. */
const profilePauseMs = 1_000;

/** @throws UsageError when the profile cannot be read, or is a file that says something that is no image method. */
export async function chooseImageMethod(options: MountOptions, log: Log): Promise<ImageMethod> {
  const { imageMethod: flag, profile } = options;
  const source = profile === undefined ? '/proc/cmdline' : shown(profile);
  if (flag !== undefined) {
    // Only to say so: what cannot be read, or makes no sense, is of no importance then.
    const overridden = await readSource(options)
      .then((text) => saidIn(text, options))
      .catch(() => undefined);
    if (overridden !== undefined && overridden.method !== flag) {
      log.info('--image-method overrides the profile', { method: flag, said: overridden.word, source });
    }
    return flag;
  }
  const text = await patiently(options, log);
  let said: SaidMethod | undefined;
  try {
    said = saidIn(text, options);
  } catch (error) {
    // A server's profile that makes no sense is no reason not to boot; a file of the caller's is his to mend.
    if (!(error instanceof UsageError) || profile === undefined || !isFileUrl(profile)) throw error;
    log.warn('the profile says nothing that is understood: tethered', { why: error.message });
  }
  if (said === undefined) return 'tethered';
  log.info('image method', { method: said.method, said: said.word, source });
  return said.method;
}

/** A node whose network is not up yet waits for its profile as it waits for its members. @throws what the last try threw. */
async function patiently(options: MountOptions, log: Log): Promise<string> {
  const { mountTimeout } = options;
  const deadline = mountTimeout === 0 ? Number.POSITIVE_INFINITY : systemTime.now() + mountTimeout * 1000;
  let timedOut = 0;
  for (let tries = 1; ; tries++) {
    try {
      return await readSource(options, timedOut);
    } catch (error) {
      if (!(error instanceof FetchFailedError) || error.answered || systemTime.now() >= deadline) throw error;
      if (error.timedOut) timedOut++;
      if (tries === 1) log.warn('the profile cannot be got yet', { error: describeError(error) });
      await sleep(profilePauseMs);
    }
  }
}

/** The profile, or the kernel command line. */
async function readSource(options: MountOptions, timedOut = 0): Promise<string> {
  const { profile } = options;
  return profile === undefined ? readFileSync('/proc/cmdline', 'utf8') : readProfile(profile, options, timedOut);
}

/** @throws UsageError for what is no image method. */
function saidIn(text: string, { profile }: MountOptions): SaidMethod | undefined {
  return profile === undefined ? imageMethodOfCommandLine(text, '/proc/cmdline') : imageMethodOf(text, shown(profile));
}

/** Without what a URL has of secrets. */
function shown(profile: string): string {
  return isFileUrl(profile) ? parseFileUrl(profile).text : profile;
}

async function readProfile(source: string, authorities: MountOptions, timedOut: number): Promise<string> {
  if (isFileUrl(source)) {
    const options = { ca: givenAuthorities(authorities), maxBytes: largestProfileSize, timedOut, time: systemTime };
    const bytes = await fetchSmallFile(parseFileUrl(source), options);
    return Buffer.from(bytes).toString('utf8');
  }
  return readGivenFile(source, '--profile').toString('utf8');
}
