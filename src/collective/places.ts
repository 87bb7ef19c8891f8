/** Where a member keeps its things, and whose they are. */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TetherfsError } from '../base/errors.ts';

export interface Places {
  /** Store, master key, automation key: /var/lib/tetherfs. */
  state: string;
  /** Public and private trees: /var/lib/confluent. */
  tree: string;
  /** For what external programs read from files: /run/tetherfs-collective, in memory. */
  scratch: string;
}

export const defaultPlaces: Places = {
  state: '/var/lib/tetherfs',
  tree: '/var/lib/confluent',
  scratch: '/run/tetherfs-collective',
};

export const storeFile = (state: string) => join(state, 'collective.sqlite');
export const automationFile = (state: string) => join(state, 'automation');
/** The member's TLS certificate and key, so that a proxy before it can have them. */
export const memberCertificate = (state: string) => ({
  certificate: join(state, 'member.pem'),
  key: join(state, 'member.key'),
});

export interface Owner {
  uid: number;
  gid: number;
}

/** Makes what is not there. What is there keeps its owner, but nobody else may look into what is private. @throws TetherfsError PLACES */
export function preparePlaces({ state, tree, scratch }: Places, owner: Owner): void {
  makeDirectory(state, 0o700, owner);
  makeDirectory(scratch, 0o700, owner);
  makeDirectory(tree, 0o755, owner);
  for (const name of ['public', 'public/os', 'public/site']) makeDirectory(join(tree, name), 0o755, owner);
  for (const name of ['private', 'private/os']) makeDirectory(join(tree, name), 0o700, owner);
}

function makeDirectory(path: string, mode: number, { uid, gid }: Owner): void {
  if (!existsSync(path)) {
    mkdirSync(path, { recursive: true, mode });
    if (process.geteuid?.() === 0) chownSync(path, uid, gid);
  }
  const found = lstatSync(path);
  if (!statSync(path).isDirectory()) throw new TetherfsError('PLACES', `${path} is no directory`);
  if ((mode & 0o077) === 0 && (found.mode & 0o077) !== 0 && found.isDirectory()) chmodSync(path, mode);
}

/** Whose a member's state is: who changes it must be the same. @throws TetherfsError NO_MEMBER_HERE */
export function ownerOf(state: string): Owner {
  if (!existsSync(storeFile(state))) {
    throw new TetherfsError(
      'NO_MEMBER_HERE',
      `there is no member in ${state}: "tetherfs collective run" makes one; --state names another place`,
    );
  }
  const { uid, gid } = statSync(state);
  return { uid, gid };
}
