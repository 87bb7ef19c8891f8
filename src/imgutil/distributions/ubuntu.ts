/** Ubuntu, of which there is support for those that live long. */
import { mmdebstrapFamily } from './mmdebstrap.ts';

export const ubuntu = mmdebstrapFamily({
  id: 'ubuntu',
  codenames: { '22.04': 'jammy', '24.04': 'noble', '26.04': 'resolute' },
  components: 'main,universe',
  keyring: '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
  keyringPackage: 'ubuntu-keyring',
});
