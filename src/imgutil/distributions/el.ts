/** Red Hat Enterprise Linux and what is built like it. */

import type { Family } from './distribution.ts';
import { installByDnf } from './dnf.ts';

export const el: Family = {
  name: 'el',
  ids: ['rhel', 'almalinux', 'rocky', 'centos', 'ol'],
  versions: ['8', '9', '10'],
  versionOf: (id) => id.replace(/\..*/, ''),
  packageList: 'el',
  versionOfMedium: (path) =>
    /(?:^|\/)(?:redhat|almalinux|rocky|centos|oraclelinux)-release-(?:[a-z]+-)?(\d+)[.-][^/]*\.rpm$/.exec(path)?.[1],
  install: (request) =>
    installByDnf(request, request.distribution.version === '10' ? '/usr/lib/sysimage/rpm' : '/var/lib/rpm'),
};
