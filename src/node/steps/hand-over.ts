/** The last things before the initramfs' own program makes the new root the machine's. */
import { copyFileSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { TetherfsError } from '../../base/errors.ts';
import { shutdownProgram } from '../../base/installation.ts';
import { exitPlace } from '../places.ts';

/** Where an init is looked for, as the kernel does. */
const inits = ['sbin/init', 'usr/sbin/init', 'usr/lib/systemd/systemd', 'lib/systemd/systemd', 'etc/init', 'bin/init'];

/** @param init of the kernel command line, which the initramfs' tools look for themselves. @throws TetherfsError IMAGE_KIND when nothing in the root can become process 1. */
export function insistOnInit(root: string, init: string | undefined): void {
  if (init !== undefined) return;
  if (inits.some((path) => lstatSync(join(root, path), { throwIfNoEntry: false }) !== undefined)) return;
  throw new TetherfsError(
    'IMAGE_KIND',
    'the image has no /sbin/init: it is no root file system, or one without an init system',
  );
}

/** Leaves a program that ends the machine when everything is unmounted but the root and what it stands on (native/shutdown.c). */
export function leaveShutdown(): void {
  copyFileSync(shutdownProgram, join(exitPlace, 'shutdown'));
}
