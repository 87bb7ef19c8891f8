/** Ubuntu, of which there is support for those that live long. */
import type { Family } from './distribution.ts';
import { installByMmdebstrap } from './mmdebstrap.ts';

const codenames: Readonly<Record<string, string>> = { '22.04': 'jammy', '24.04': 'noble', '26.04': 'resolute' };
const versions = Object.keys(codenames);

export const ubuntu: Family = {
  name: 'ubuntu-',
  ids: ['ubuntu'],
  versions,
  versionOf: (id) => id,
  packageList: 'ubuntu',
  versionOfMedium: (path) => versions.find((version) => path === `dists/${codenames[version]}`),
  install: (request) =>
    installByMmdebstrap(request, {
      codename: codenames[request.distribution.version] ?? '',
      components: 'main,universe',
      keyring: '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
      keyringPackage: 'ubuntu-keyring',
    }),
};
