/** From root to the member's own user. */
import { TetherfsError } from '../base/errors.ts';
import { become } from './administration.ts';
import { type Owner, type Places, preparePlaces } from './places.ts';
import { toolRunner } from './tools.ts';

/**
 * Makes directories, and the user where there is none. Whoever is not root stays who he is.
 * @returns what leaves root, for ever. @throws TetherfsError USER, PLACES, TOOL.
 */
export async function prepareToLeaveRoot(places: Places, user: string): Promise<() => void> {
  const uid = process.geteuid?.() ?? 0;
  if (uid !== 0) {
    preparePlaces(places, { uid, gid: process.getegid?.() ?? 0 });
    return () => {};
  }
  const owner = await ownerNamed(user);
  if (owner.uid === 0) throw new TetherfsError('USER', `--user ${user} is root: name somebody who is not`);
  preparePlaces(places, owner);
  return () => become(owner);
}

/** Whom nobody needs to name. */
const usualUser = 'tetherfs';

/** The usual one is made, as a system's own, where he is not there. */
async function ownerNamed(user: string): Promise<Owner> {
  const run = toolRunner();
  if (!/^[a-z_][a-z0-9_-]{0,30}$/.test(user))
    throw new TetherfsError('USER', `--user ${user}: nobody can be called that`);
  const ids = async (): Promise<Owner> => {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((what) => run('id', [what, user], { package: 'coreutils' })));
    return { uid: Number(uid), gid: Number(gid) };
  };
  try {
    return await ids();
  } catch {
    // A name that somebody has thought of is that of somebody who is there.
    if (user !== usualUser)
      throw new TetherfsError(
        'USER',
        `--user ${user}: there is no such user; make him (useradd --system ${user}), or say none`,
      );
    const kind = [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
    ];
    await run('useradd', [...kind, user], { package: 'passwd' });
    return ids();
  }
}

/** @returns its number. @throws TetherfsError USER */
export async function groupNamed(group: string): Promise<number> {
  const line = await toolRunner()('getent', ['group', group], { package: 'libc-bin', done: [0, 2] });
  const [, , number] = line.trim().split(':');
  if (number !== undefined) return Number(number);
  throw new TetherfsError('USER', `--socket-group ${group}: there is no such group`);
}
