/** `tetherfs image rm`: a profile goes away, with its images and keys. */
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { TetherfsError } from '../base/errors.ts';
import { mainScript, nodeCommand } from '../base/installation.ts';
import { runProgram } from '../base/program.ts';
import { formatSize } from '../base/size.ts';
import { defaultPlaces, storeFile } from '../collective/places.ts';
import type { ProfilePlaces } from '../imgutil/remove-profile.ts';
import { accessLogOption, keepForOption } from './image-options.ts';

interface RemoveFlags {
  tree: string;
  state: string;
  accessLog: string[];
  keepFor: number;
  anyway: boolean;
}

/** Names of nodes that are told. */
const mostShown = 5;

export function imageRmCommand(): Command {
  return new Command('rm')
    .description('remove profiles: images, keys, kernels, scripts, all of it')
    .argument('<profile...>')
    .option('--tree <dir>', "confluent's tree", defaultPlaces.tree)
    .option(
      '--state <directory>',
      'of the member of the site on this machine, if any: it knows who boots what',
      defaultPlaces.state,
    )
    .addOption(accessLogOption())
    .addOption(keepForOption())
    .option('--anyway', 'although nodes may hold it, or nothing tells', false)
    .addHelpText(
      'after',
      `
Nothing is removed of a profile that nodes boot or have an image of: a running node would lose its root filesystem. Who boots it the member of the site
on this machine says; who reads it the access logs of the web server, as for "image gc". Old images of a profile that stays are for "image gc".

This member alone forgets it: others have copies. The keys are lost with it.

Exit status: 0 done, 1 nothing was removed, or not all; 2 wrong usage.

Examples:
  tetherfs image rm --access-log /var/log/nginx/access.log old
  tetherfs image rm --anyway trial`,
    )
    .action(async (names: string[], flags: RemoveFlags) => {
      const { GcDoubtError } = await import('../imgutil/errors.ts');
      const { profilePlaces, removeProfile } = await import('../imgutil/remove-profile.ts');
      const places = await Promise.all(names.map((name) => profilePlaces(name, flags.tree)));
      const doubts = flags.anyway ? [] : await doubtsAbout(places, flags);
      if (doubts.length > 0) throw new GcDoubtError([...doubts, '--anyway removes it all the same']);
      for (const one of places) {
        const size = await removeProfile(one);
        process.stdout.write(`removed ${one.name} (${formatSize(size)})\n`);
      }
    });
}

/** Reads the access logs once for all of them. */
async function doubtsAbout(
  all: readonly ProfilePlaces[],
  { tree, state, accessLog, keepFor }: RemoveFlags,
): Promise<string[]> {
  const { imageUse } = await import('../imgutil/image-use.ts');
  const { usesOf } = await import('../imgutil/remove-profile.ts');
  const now = Date.now();
  const use = accessLog.length === 0 ? undefined : await imageUse(accessLog, now - keepFor, now);
  const doubts: string[] = [];
  for (const places of all) {
    const { name } = places;
    const nodes = await nodesThatBoot(name, { tree, state });
    const shown = nodes.slice(0, mostShown).join(', ') + (nodes.length > mostShown ? ', …' : '');
    if (nodes.length > 0) doubts.push(`${nodes.length} nodes boot ${name} (${shown})`);
    if (use === undefined) doubts.push(`nothing tells whether nodes run from ${name}: give --access-log FILE`);
    else doubts.push(...usesOf(places, use));
  }
  return doubts;
}

/** By a process of its own, which becomes the member's user. */
async function nodesThatBoot(profile: string, { tree, state }: Pick<RemoveFlags, 'tree' | 'state'>): Promise<string[]> {
  if (!existsSync(storeFile(state)) || !existsSync(`${tree}/public/os/${profile}`)) return [];
  const [program, ...words] = nodeCommand;
  const question = ['collective', 'profile', 'show', profile, '--json', '--tree', tree, '--state', state];
  const missing = (cause: unknown) => new TetherfsError('PROGRAM', `cannot run ${program}`, { cause });
  const { nodes } = JSON.parse(await runProgram(program, [...words, mainScript, ...question], { missing }));
  return nodes as string[];
}
