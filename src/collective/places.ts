/** Where a member keeps its things, and whose they are. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';

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

/** What a member was started with, for commands beside it. */
export interface MemberFacts {
  name: string;
  tree: string;
}

const memberFile = (state: string) => join(state, 'member.json');

export function rememberMember(state: string, facts: MemberFacts): void {
  writeFileSync(memberFile(state), `${JSON.stringify(facts)}\n`, { mode: 0o600 });
}

/** Undefined before its first start, and for whoever may not look. */
export function rememberedMember(state: string): MemberFacts | undefined {
  try {
    return JSON.parse(readFileSync(memberFile(state), 'utf8')) as MemberFacts;
  } catch {
    return undefined;
  }
}

/**
 * One member a state: what another changed it would not know. Held as long as the process lives. @throws TetherfsError MEMBER_RUNS
 */
export async function claimState(state: string): Promise<() => void> {
  const name = createHash('sha256').update(realpathSync(state)).digest('hex');
  // A socket without a file: it goes with the process, however that ends. unix(7), abstract.
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new TetherfsError('MEMBER_RUNS', `a member runs on ${state} already (${describeError(cause)}): end it first`, {
          cause,
        }),
      ),
    );
    server.listen(`\0tetherfs-collective-${name}`, resolve);
  });
  server.unref();
  return () => server.close();
}

/** What a member that was killed has left of external programs' files. */
export function sweepScratch(scratch: string): void {
  for (const name of readdirSync(scratch)) {
    if (/^(ssh|node)-/.test(name)) rmSync(join(scratch, name), { recursive: true, force: true });
  }
}

export interface Owner {
  uid: number;
  gid: number;
}

/** Makes what is not there. What is there keeps its owner, but nobody else may look into what is private. @throws TetherfsError PLACES */
export function preparePlaces({ state, tree, scratch }: Places, owner: Owner): void {
  makeDirectory(state, 0o700, owner);
  own(state, owner);
  makeDirectory(scratch, 0o700, owner);
  makeDirectory(tree, 0o755, owner);
  for (const name of ['public', 'public/os', 'public/site']) makeDirectory(join(tree, name), 0o755, owner);
  for (const name of ['private', 'private/os']) makeDirectory(join(tree, name), 0o700, owner);
  const open = realpathSync(join(tree, 'public'));
  for (const place of [state, scratch, join(tree, 'private')]) {
    if (`${realpathSync(place)}/`.startsWith(`${open}/`))
      throw new TetherfsError('PLACES', `${place} lies in ${open}, which everybody may read: name another place`);
  }
}

/** Root gives its user what root has put there: a restored store, a master key from elsewhere. */
function own(state: string, { uid, gid }: Owner): void {
  if (process.geteuid?.() !== 0) return;
  lchownSync(state, uid, gid);
  for (const entry of readdirSync(state, { withFileTypes: true })) {
    const path = join(state, entry.name);
    // One with another name may be anybody's.
    if (entry.isFile() && lstatSync(path).nlink === 1) lchownSync(path, uid, gid);
  }
}

function makeDirectory(path: string, mode: number, { uid, gid }: Owner): void {
  if (!existsSync(path)) {
    mkdirSync(path, { recursive: true, mode });
    // Whatever our umask is.
    chmodSync(path, mode);
    if (process.geteuid?.() === 0) chownSync(path, uid, gid);
  }
  const found = lstatSync(path);
  if (!statSync(path).isDirectory()) throw new TetherfsError('PLACES', `${path} is no directory`);
  if ((mode & 0o077) === 0 && (found.mode & 0o077) !== 0 && found.isDirectory()) chmodSync(path, mode);
}

/** @throws TetherfsError NOT_ROOT when only others may know. */
function isThere(state: string): boolean {
  try {
    statSync(storeFile(state));
    return true;
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT' || errorCode(cause) === 'ENOTDIR') return false;
    throw new TetherfsError(
      'NOT_ROOT',
      `${state} cannot be looked into (${describeError(cause)}): run this as root, or as the member's user`,
      {
        cause,
      },
    );
  }
}

/** Whose a member's state is: who changes it must be the same. @throws TetherfsError NO_MEMBER_HERE */
export function ownerOf(state: string): Owner {
  if (!isThere(state)) {
    throw new TetherfsError(
      'NO_MEMBER_HERE',
      `there is no member in ${state}: "tetherfs collective run" makes one; --state names another place`,
    );
  }
  const { uid, gid } = statSync(state);
  return { uid, gid };
}
