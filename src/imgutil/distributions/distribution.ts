/** What is to be known of a distribution to build a tree of it. One file a family; which there are says index.ts. */
import type { Volume } from '../exec.ts';

export interface Family {
  /** In front of the version in its name: `el`, `debian-`. */
  readonly name: string;
  /** ID of os-release(5): the distribution's, and what is built like it. */
  readonly ids: readonly string[];
  /** Versions that it has; undefined: any whole number. */
  readonly versions: readonly string[] | undefined;
  /** What of VERSION_ID in os-release(5) is the version. */
  readonly versionOf: (versionId: string) => string;
  /** Of package-lists/. */
  readonly packageList: string;
  /** Installs packages into `tree`, which does not exist or is empty. @throws BuildError, UsageError */
  readonly install: (request: InstallRequest) => Promise<void>;
  /** Of a medium on which this file or directory lies; undefined: that tells nothing. */
  readonly versionOfMedium: (path: string) => string | undefined;
}

export interface Distribution {
  readonly family: Family;
  readonly version: string;
}

/** What is installed, and from where. */
export interface InstallPlan {
  readonly distribution: Distribution;
  /** rpm's name, and Debian's. */
  readonly architecture: { readonly rpm: string; readonly debian: string };
  readonly packages: readonly string[];
  /** Whether this machine is of that family: it knows repositories of it. */
  readonly isOwn: boolean;
  /** The medium; undefined: none. */
  readonly source: string | undefined;
  /** URLs, paths, lines of sources.list(5), as they were given. */
  readonly repositories: readonly string[];
  /** Files: whose signatures are believed, besides the distribution's. */
  readonly keys: readonly string[];
  readonly checkSignatures: boolean;
  /** To be seen in the tree while scripts of packages run. */
  readonly volumes: readonly Volume[];
}

export interface InstallRequest extends InstallPlan {
  /** Does not exist. */
  readonly tree: string;
  /** A directory for whatever else there is to be; it is removed. */
  readonly work: string;
  readonly onLine: (line: string) => void;
  readonly onWarning: (line: string) => void;
  readonly signal: AbortSignal;
}

/** `el9`, `debian-12`. */
export function shownDistribution({ family, version }: Distribution): string {
  return `${family.name}${version}`;
}
