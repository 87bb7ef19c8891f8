/** What the boots of a test file have in common: a profile, members that serve it while the file runs, machines that boot from them. */
import { afterAll, beforeAll } from 'vitest';
import { makeTempDir } from '../support/temp-dir.ts';
import { Machine } from './machine.ts';
import { type Profile, profileOf, withKernelArgs } from './profiles.ts';
import { BootSite } from './site.ts';

export interface BootStart {
  /** Further kernel arguments: at least how it gets an address. */
  words: readonly string[];
  memoryMiB?: number;
  /** URLs of the profile; on each member unless said otherwise. */
  members?: readonly string[];
}

export interface BootSuite {
  readonly profile: Profile;
  /** From the first test on. */
  readonly site: BootSite;
  /** A machine is switched on. */
  start(how: BootStart): Promise<Machine>;
}

/** @param variable that names a profile of scripts/boot-profile. @param kernelargs in the place of its own. */
export function bootSuite(variable: string, kernelargs?: string): BootSuite {
  const temp = makeTempDir('boot');
  const made = profileOf(variable);
  const profile = kernelargs === undefined ? made : withKernelArgs(made, kernelargs, temp.path);
  let site: BootSite | undefined;
  beforeAll(async () => {
    site = await BootSite.make(profile.publicDir);
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    temp.remove();
  });
  const suite: BootSuite = {
    profile,
    get site() {
      if (site === undefined) throw new Error('the members serve from the first test on');
      return site;
    },
    start: ({ words, memoryMiB, members = suite.site.urls(profile.path) }) =>
      Machine.start({
        profile: profile.directory,
        members,
        keyFile: profile.keyFile,
        words,
        tap: suite.site.tap,
        ...(memoryMiB !== undefined && { memoryMiB }),
      }),
  };
  return suite;
}
