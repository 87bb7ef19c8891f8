/** SUSE Linux Enterprise and openSUSE Leap. */
import type { Family } from './distribution.ts';
import { installByZypper } from './zypper.ts';

export const suse: Family = {
  name: 'suse',
  ids: ['sles', 'sle_hpc', 'opensuse-leap'],
  versions: ['15', '16'],
  versionOf: (id) => id.replace(/\..*/, ''),
  packageList: 'suse',
  versionOfMedium: (path) =>
    /(?:^|\/)(?:sles|sle_hpc|SLE_HPC|openSUSE|Leap)-release-(\d+)\.[^/]*\.rpm$/.exec(path)?.[1],
  install: installByZypper,
};
