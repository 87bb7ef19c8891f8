/** Debian. */
import type { Family } from './distribution.ts';
import { installByMmdebstrap } from './mmdebstrap.ts';

const codenames: Readonly<Record<string, string>> = { 11: 'bullseye', 12: 'bookworm', 13: 'trixie' };
const versions = Object.keys(codenames);

export const debian: Family = {
  name: 'debian-',
  ids: ['debian'],
  versions,
  versionOf: (id) => id,
  packageList: 'debian',
  versionOfMedium: (path) => versions.find((version) => path === `dists/${codenames[version]}`),
  install: (request) =>
    installByMmdebstrap(request, {
      codename: codenames[request.distribution.version] ?? '',
      components: 'main',
      keyring: '/usr/share/keyrings/debian-archive-keyring.gpg',
      keyringPackage: 'debian-archive-keyring',
    }),
};
