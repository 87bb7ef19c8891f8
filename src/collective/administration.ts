/**
 * A member's state, opened by a command beside the server that has it open. Root becomes the state's owner first: a file that it made there could be read by the server no more.
 */
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { Authorities } from './authorities.ts';
import { isMasterKeyGiven, loadMasterKey, type Sealer } from './authority/secrets.ts';
import { SshAuthority } from './authority/ssh.ts';
import { Grants } from './grants.ts';
import { Nodes } from './nodes.ts';
import { type Owner, ownerOf, storeFile } from './places.ts';
import { SqliteStore } from './store/sqlite.ts';
import { toolRunner } from './tools.ts';

/** Where nothing comes to a disk: secrets lie there for the moment that ssh-keygen takes. */
const memory = '/dev/shm';

export interface Administration extends AsyncDisposable {
  store: SqliteStore;
  nodes: Nodes;
  grants: Grants;
  authorities: Authorities;
  ssh: SshAuthority;
  /** Who does it, for the audit. */
  by: string;
}

/** What is read from files that are not the owner's must have been read before. @throws TetherfsError */
export function openForAdministration(state: string): Administration {
  const by = `user ${process.env['SUDO_USER'] ?? ownName()}`;
  const load = () => loadMasterKey(state, false);
  // A credential is for whoever systemd has started.
  const masterKey = isMasterKeyGiven(state) ? load() : lazily(load);
  become(ownerOf(state));
  const store = new SqliteStore(storeFile(state));
  const ssh = new SshAuthority({ run: toolRunner(), scratch: existsSync(memory) ? memory : state });
  return {
    store,
    nodes: new Nodes(store),
    grants: new Grants(store, masterKey),
    authorities: new Authorities({ store, masterKey, ssh }),
    ssh,
    by,
    [Symbol.asyncDispose]: () => store.close(),
  };
}

/** A user may be without a name. */
function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.() ?? 'unknown');
  }
}

/** What most commands do without: it may be systemd's, and the server's alone. */
function lazily(load: () => Sealer): Sealer {
  let key: Sealer | undefined;
  const loaded = () => {
    key ??= load();
    return key;
  };
  return { seal: (...words) => loaded().seal(...words), open: (...words) => loaded().open(...words) };
}

/** Of root; for ever. Anybody else stays who he is. */
export function become({ uid, gid }: Owner): void {
  if (process.geteuid?.() !== 0 || uid === 0) return;
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
