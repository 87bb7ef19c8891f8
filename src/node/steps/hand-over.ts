/** The last things before the initramfs' own program makes the new root the machine's. */
import { copyFileSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TetherfsError } from '../../base/errors.ts';
import { shownUrl } from '../../base/file-url.ts';
import { shutdownProgram } from '../../base/installation.ts';
import { exitPlace, recordFile } from '../places.ts';
import type { StepRecord } from '../step.ts';
import type { Decryption } from './decrypt.ts';
import type { Identity } from './identity.ts';
import type { RootNetwork } from './root-network.ts';

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

export interface BootRecord {
  /** As the profile says it. */
  method: string;
  members: readonly string[];
  digest: string | undefined;
  /** `none`: the image is in clear. */
  decryption: Decryption | 'none';
  /** Who the node is; absent where no member was asked. */
  identity: Identity | undefined;
  /** Who sets up the network; absent likewise. */
  rootNetwork: RootNetwork | undefined;
  /** What the node has not got that has booted all the same. */
  lacks: readonly string[];
  steps: readonly StepRecord[];
}

export function writeRecord(record: BootRecord): void {
  mkdirSync(dirname(recordFile), { recursive: true, mode: 0o700 });
  writeFileSync(recordFile, `${JSON.stringify({ ...record, members: record.members.map(shownUrl) }, null, 2)}\n`, {
    mode: 0o600,
  });
}
