/** Debian. */
import { mmdebstrapFamily } from './mmdebstrap.ts';

export const debian = mmdebstrapFamily({
  id: 'debian',
  codenames: { 11: 'bullseye', 12: 'bookworm', 13: 'trixie' },
  components: 'main',
  keyring: '/usr/share/keyrings/debian-archive-keyring.gpg',
  keyringPackage: 'debian-archive-keyring',
});
