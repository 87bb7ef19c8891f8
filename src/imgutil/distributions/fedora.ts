/** Fedora. */

import type { Family } from './distribution.ts';
import { installByDnf } from './dnf.ts';

export const fedora: Family = {
  name: 'fedora-',
  ids: ['fedora'],
  versions: undefined,
  versionOf: (id) => id,
  packageList: 'fedora',
  versionOfMedium: (path) => /(?:^|\/)fedora-release-(?:[a-z]+-)*(\d+)-[^/]*\.rpm$/.exec(path)?.[1],
  install: (request) => installByDnf(request, '/usr/lib/sysimage/rpm'),
};
