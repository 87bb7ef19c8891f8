/**
 * How a daemon comes by a mount that exists: from the service manager after a crash, or from the daemon that serves it now.
 */
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeError, TetherfsError } from '../base/errors.ts';
import { installationPlace } from '../base/installation.ts';
import { type Binding, loadBinding } from '../native/binding.ts';
import { daemonName } from './background.ts';
import { nodeWords } from './clean-child.ts';
import { askForHandover, commitHandover, readDaemonPid } from './control-client.ts';
import { controlDirectory, makeControlDirectory } from './control-path.ts';
import { offerComplete } from './handover.ts';
import { type Inheritance, type NamedDescriptors, readInheritance, storedName } from './inheritance.ts';

/** Between two messages of an offer. */
const messageMs = 10_000;

/**
 * What the service manager has kept for us: it was there before, and died. Undefined when we are the first. To be asked once.
 * @throws TetherfsError INHERITANCE
 */
export function inheritFromManager(native: Binding = loadBinding()): Inheritance | undefined {
  const kept = native.takeListenedDescriptors().map(({ name, fd }): NamedDescriptors => ({ name, fds: [fd] }));
  return kept.length === 0 ? undefined : readInheritance(kept, native);
}

export interface Predecessor {
  inheritance: Inheritance;
  /** Has it let go of the mount, for good. @throws TetherfsError when it does not: it serves on then. */
  takeHold: () => Promise<void>;
}

/** Copies of all that the daemon at `controlPath` has. @throws TetherfsError when there is none, or it cannot hand over; it serves on then. */
export async function inheritFromDaemon(controlPath: string, native: Binding = loadBinding()): Promise<Predecessor> {
  const pid = await readDaemonPid(controlPath);
  insistOnNamespacesOf(pid);
  makeControlDirectory();
  const inboxPath = join(controlDirectory, `inbox-${process.pid}`);
  const inbox = native.openDescriptorInbox(inboxPath);
  const received: NamedDescriptors[] = [];
  try {
    const asked = askForHandover(controlPath, inboxPath);
    // What it throws is awaited below, when its messages have stopped coming.
    asked.catch(() => inbox.close());
    for (;;) {
      const message = await inbox.next(messageMs);
      if (message === undefined) {
        await asked;
        throw new TetherfsError('HANDOVER', `the daemon at ${controlPath} does not send what it promised`);
      }
      if (message.state === offerComplete) break;
      received.push({ name: storedName(message) ?? '', fds: message.fds });
    }
    await asked;
  } catch (error) {
    native.closeDescriptors(received.flatMap(({ fds }) => fds));
    throw error;
  } finally {
    inbox.close();
  }
  const inheritance = readInheritance(received, native);
  keepWith(inheritance.state);
  // Before the other root: control groups are not seen from there.
  joinGroupOf(pid);
  joinRootOf(pid, native);
  const takeHold = () => commitHandover(controlPath, process.pid);
  return { inheritance, takeHold };
}

/** Who keeps the predecessor's descriptors keeps ours, whatever service manager the caller of `tetherfs takeover` may have had. */
function keepWith({ notifySocket, descriptorStore, watchdog }: Inheritance['state']): void {
  for (const [name, value] of [
    ['NOTIFY_SOCKET', notifySocket],
    ['FDSTORE', descriptorStore],
    ['WATCHDOG_USEC', watchdog],
    // That of the predecessor.
    ['WATCHDOG_PID', undefined],
  ] as const) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/**
 * A daemon below a root file system lives in another root directory (machine-root.ts), and so must we before we serve: whatever we looked up in the one that
 * stands on the mount we might wait for ourselves. @throws TetherfsError HANDOVER
 */
function joinRootOf(pid: number, native: Binding): void {
  try {
    native.joinRoot(pid, installationPlace);
  } catch (cause) {
    const what = `the root directory of the daemon (pid ${pid}) cannot become ours: ${describeError(cause)}`;
    throw new TetherfsError('HANDOVER', what, { cause });
  }
}

/** In another network it would not reach the members, among other mounts not unmount. @throws TetherfsError HANDOVER */
function insistOnNamespacesOf(pid: number): void {
  const differ = (['net', 'mnt'] as const).filter((kind) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`);
    } catch {
      return false; // There is no telling.
    }
  });
  if (differ.length === 0) return;
  const options = differ.map((kind) => (kind === 'net' ? '--net' : '--mount')).join(' ');
  const what = `the daemon (pid ${pid}) is in another namespace than we are; run this by "nsenter --target ${pid} ${options}"`;
  throw new TetherfsError('HANDOVER', what);
}

/** Whoever stops the service must find the successor in it, and whoever logs out must not take it along. cgroups(7), version 2. */
function joinGroupOf(pid: number): void {
  try {
    const [, path] = /^0::(\/.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8')) ?? [];
    if (path !== undefined) writeFileSync(`/sys/fs/cgroup${path}/cgroup.procs`, `${process.pid}\n`);
  } catch {
    // There are no such groups here, or it has gone already.
  }
}

/** From now on the holder restarts this version when we die (native/holder.c); systemd restarts what its unit says. */
export function announceSuccession(mountpoint: string, native: Binding = loadBinding()): void {
  const command = nodeWords([process.argv[1] ?? '', 'daemon', mountpoint]);
  const escaped = (word: string) => word.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  const words = command.map((word) => `X_TETHERFS_ARG=${escaped(word)}`);
  native.notifyServiceManager(['X_TETHERFS_COMMAND=1', `X_TETHERFS_ARGV0=${daemonName}`, ...words].join('\n'));
}
