/**
 * A tree from packages: the distribution's own tools install them beside its place, `image prepare` is done in it, its own tool makes the initramfs, and it takes its place when all of that has worked.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, errorCode, TetherfsError, UsageError } from '../base/errors.ts';
import { packageLists } from '../base/installation.ts';
import {
  architectureOf,
  type Distribution,
  distributionNamed,
  distributionOfMedium,
  type InstallPlan,
  mediumOf,
  ownDistribution,
  readPackageList,
  shownDistribution,
} from './distributions/index.ts';
import { BuildError } from './errors.ts';
import type { Volume } from './exec.ts';
import { type BootableWatcher, makeBootable } from './make-bootable.ts';
import { insistOnRuntime } from './prepare.ts';
import { confluentTree } from './private-place.ts';
import type { TreeKernel } from './tree-kernel.ts';
import { writeOrigin } from './tree-origin.ts';
import { TreePlace } from './tree-place.ts';

export interface BuildWishes {
  /** `debian-12`; undefined: that of the medium, or of this machine. */
  readonly distribution?: string | undefined;
  readonly architecture?: string | undefined;
  /** A directory, or the name of one that was imported. */
  readonly source?: string | undefined;
  readonly repositories: readonly string[];
  /** A list of packages in the place of ours. */
  readonly packageList?: string | undefined;
  /** Lists besides. */
  readonly morePackages: readonly string[];
  readonly volumes: readonly Volume[];
  readonly keys: readonly string[];
  readonly checkSignatures: boolean;
  /** Confluent's; undefined: the usual one. */
  readonly tree?: string | undefined;
  /** What `image prepare` puts into it; undefined: ours. */
  readonly runtime?: string | undefined;
}

/** What is to be built. */
export interface BuildPlan extends InstallPlan {
  readonly runtime: string | undefined;
}

export interface BuildWatcher extends BootableWatcher {
  readonly onLeftover: (path: string) => void;
}

export interface Built {
  readonly directory: string;
  readonly kernel: TreeKernel | undefined;
}

/** @throws UsageError when something that is named is not there, or means nothing. */
export async function planBuild(wishes: BuildWishes): Promise<BuildPlan> {
  const { repositories, volumes, keys, checkSignatures } = wishes;
  const source = wishes.source === undefined ? undefined : await mediumOf(wishes.source, wishes.tree ?? confluentTree);
  const distribution = await distributionFor(wishes.distribution, source);
  const architecture = architectureOf(wishes.architecture);
  for (const key of keys)
    await readFile(key).catch((cause: unknown) => {
      throw new UsageError(`--gpg-key ${key}: ${describeError(cause)}`, { cause });
    });
  const lists = [wishes.packageList ?? join(packageLists, distribution.family.packageList), ...wishes.morePackages];
  const target = { architecture: architecture.rpm, version: distribution.version };
  const packages = (await Promise.all(lists.map((list) => readPackageList(list, target)))).flat();
  if (packages.length === 0) throw new UsageError(`${lists.join(', ')}: no package is named`);
  const own = await ownDistribution().catch(() => undefined);
  return {
    ...{ distribution, architecture, source, repositories, volumes, keys, checkSignatures },
    packages: [...new Set(packages)],
    isOwn: own?.family === distribution.family,
    runtime: wishes.runtime,
  };
}

async function distributionFor(named: string | undefined, medium: string | undefined): Promise<Distribution> {
  if (named !== undefined) return distributionNamed(named);
  return medium === undefined ? await ownDistribution() : await distributionOfMedium(medium);
}

/** @param directory gets the tree: empty, or none yet. @throws UsageError, BuildError; TetherfsError NO_RUNTIME. The directory is as it was then. */
export async function build(plan: BuildPlan, directory: string, watcher: BuildWatcher): Promise<Built> {
  if (process.geteuid?.() !== 0) throw new BuildError('only root can build a tree: run this as root');
  const { onStep, onLeftover, signal } = watcher;
  await insistOnRuntime(plan.runtime);
  await using place = await TreePlace.claim(directory, 'build', onLeftover);
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    onStep(name);
    try {
      return await work();
    } catch (error) {
      if (signal.aborted)
        throw new BuildError(`building was interrupted while ${name}; nothing was left`, { cause: error });
      if (error instanceof UsageError) throw error;
      if (errorCode(error) === 'ENOSPC')
        throw new BuildError(`${name}: there is no room in ${place.beside}; nothing was left`, { cause: error });
      if (error instanceof TetherfsError && !['BUILD', 'INITRAMFS'].includes(error.code)) throw error;
      throw new BuildError(`${name}: ${describeError(error)}; nothing was left`, { cause: error });
    }
  };
  const { tree, work } = place;
  const installing = `installing ${shownDistribution(plan.distribution)}`;
  await step(installing, () => plan.distribution.family.install({ ...plan, ...watcher, tree, work }));
  const kernel = await step('preparing it for diskless nodes', () => makeBootable(tree, plan, watcher));
  await step('putting it in its place', async () => {
    await writeOrigin(tree, { architecture: plan.architecture.rpm, medium: plan.source });
    signal.throwIfAborted();
    await place.fill();
  });
  return { directory: place.directory, kernel };
}
