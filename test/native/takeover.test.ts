/** The binding's side of a takeover: a daemon in JavaScript under the holder, killed and replaced, and what its readers see. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadBinding } from '../../src/native/binding.ts';
import { requestsWaiting } from '../support/fuse-connection.ts';
import { waitUntil } from '../support/wait-until.ts';

const native = loadBinding();
const holder = fileURLToPath(new URL('../../native/build/tetherfs-holder', import.meta.url));
const program = fileURLToPath(new URL('takeover-daemon.ts', import.meta.url));
const chunkSize = 65536;
const lateChunk = 100;

let directory: string;
let processes: ChildProcess[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tetherfs-takeover-'));
  mkdirSync(join(directory, 'mount'));
  processes = [];
});
afterEach(async () => {
  // The holder first: it would start another.
  for (const child of processes) child.kill('SIGKILL');
  for (const line of log()) tryTo(() => process.kill(Number(/pid=(\d+)/.exec(line)?.[1]), 'SIGKILL'));
  await native.unmount(join(directory, 'mount'), 'lazy').catch(() => {});
  rmSync(directory, { recursive: true });
});

function tryTo(action: () => void): void {
  try {
    action();
  } catch {
    // It has ended by itself.
  }
}

function log(): string[] {
  try {
    return readFileSync(join(directory, 'log'), 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}

/** Waits for a generation to serve; its pid. */
async function generation(number: number): Promise<number> {
  await waitUntil(`generation ${number} serves`, () => log().length >= number);
  const pid = Number(/pid=(\d+)/.exec(log()[number - 1] ?? '')?.[1]);
  writeFileSync(join(directory, 'pid'), `${pid}`);
  return pid;
}

function startHeld(): ChildProcess {
  const child = spawn(holder, ['--argv0', '@tetherfs', process.execPath, program, directory], {
    stdio: 'inherit',
    argv0: '@holder',
  });
  processes.push(child);
  return child;
}

async function aReadWaits(): Promise<void> {
  await waitUntil('a read waits', () => requestsWaiting(join(directory, 'mount')) > 0);
}

async function chunkIs(chunk: number): Promise<void> {
  await using file = await open(join(directory, 'mount', 'image'));
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, chunk * chunkSize);
  expect(bytesRead).toBe(4096);
  expect(buffer.equals(Buffer.alloc(4096, chunk))).toBe(true);
}

it('a killed daemon is started again and goes on; a waiting read sees a pause', async () => {
  const held = startHeld();
  const first = await generation(1);
  await chunkIs(3);
  const waiting = chunkIs(lateChunk + 5);
  await aReadWaits();
  process.kill(first, 'SIGKILL');
  const second = await generation(2);
  await chunkIs(70);
  process.kill(second, 'SIGKILL');
  const third = await generation(3);
  await waiting;
  expect(log()[2]).toContain('argv0=@tetherfs');
  expect(log()[2]).toMatch(/adopted=\[.*\b3\b.*\b70\b.*\] threads=3/);
  const ended = once(held, 'exit');
  process.kill(third, 'SIGTERM');
  expect(await ended).toEqual([0, null]);
});

it('without resend a waiting read ends with ECONNABORTED, and the mount lives on', async () => {
  process.env['TEST_NO_RESEND'] = '1';
  const held = startHeld();
  delete process.env['TEST_NO_RESEND'];
  const first = await generation(1);
  await using file = await open(join(directory, 'mount', 'image'), constants.O_RDONLY | constants.O_DIRECT);
  const waiting = file.read(Buffer.alloc(4096), 0, 4096, (lateChunk + 5) * chunkSize).catch((error) => error);
  await aReadWaits();
  process.kill(first, 'SIGKILL');
  const second = await generation(2);
  expect(await waiting).toMatchObject({ code: 'ECONNABORTED' });
  expect(log()[1]).toContain('threads=3');
  await chunkIs(70);
  await file.close();
  const ended = once(held, 'exit');
  process.kill(second, 'SIGTERM');
  expect(await ended).toEqual([0, null]);
});

it('a successor takes over, and is started again by the same holder when it is killed', async () => {
  const held = startHeld();
  const first = await generation(1);
  await chunkIs(3);
  const waiting = chunkIs(lateChunk + 5);
  await aReadWaits();
  const successor = spawn(process.execPath, [program, directory, 'take'], { stdio: 'inherit' });
  processes.push(successor);
  writeFileSync(join(directory, 'successor'), `${successor.pid}`);
  expect(await generation(2)).toBe(successor.pid);
  await waitUntil('the old one has ended', () => {
    try {
      process.kill(first, 0);
      return false;
    } catch {
      return true;
    }
  });
  await chunkIs(70);
  expect(held.exitCode).toBe(null);
  successor.kill('SIGKILL');
  const third = await generation(3);
  expect(third).not.toBe(successor.pid);
  await waiting;
  const ended = once(held, 'exit');
  process.kill(third, 'SIGTERM');
  expect(await ended).toEqual([0, null]);
});

it('memory that does not fit is refused with a code and a reason, and closed', () => {
  const state = native.writeMemfd('state', Buffer.from('x'));
  const options = { imageSize: 65536 * 40, chunkSize, slots: 40, hiddenBytes: 0, onEvents: () => {} };
  const [arenaFd, ledgerFd] = [openSync('/dev/null', 'r+'), openSync('/dev/null', 'r+')];
  expect(() => native.createStore({ ...options, adopt: { arenaFd, ledgerFd } })).toThrow(
    expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining('arenaFd') }),
  );
  expect(() => closeSync(arenaFd)).toThrow(/EBADF/);
  expect(() => closeSync(ledgerFd)).toThrow(/EBADF/);
  const store = native.createStore(options);
  const protocol = { major: 7, minor: 45, maxReadBytes: 1 << 20, passthrough: false, backingId: 0, resend: true };
  const mount = { mountpoint: '/m', fileName: 'f', source: 's', threads: 1, mtime: 0, pageCache: 'keep' as const };
  const device = { major: 0, minor: 1 };
  expect(() => store.adoptMount({ ...mount, fuseFds: [state], protocol, device })).toThrow(
    expect.objectContaining({ code: 'ENODEV' }),
  );
  expect(() => closeSync(state)).toThrow(/EBADF/);
  expect(() => store.adoptMount({ ...mount, fuseFds: [], protocol, device })).toThrow(
    expect.objectContaining({ code: 'EINVAL' }),
  );
  expect(store.adoptedChunks()).toEqual({ inSlots: new Uint32Array(), inRam: new Uint32Array() });
  store.freeze();
  expect([store.grant(1), store.spare(), store.tryEvict(1)]).toEqual([-1, -1, 1]);
  expect(() => store.attachRamFile()).toThrow(/EBADF/);
  store.close();
});

it('an inbox gives messages with their descriptors, and ends waiting when it is closed', async () => {
  const path = join(directory, 'inbox');
  const inbox = native.openDescriptorInbox(path);
  expect(() => native.openDescriptorInbox(path)).toThrow(/EADDRINUSE/);
  expect(await inbox.next(10)).toBe(undefined);
  const state = native.writeMemfd('state', Buffer.from('hello'));
  native.sendDescriptors(path, 'FDSTORE=1\nFDNAME=a', [state, state]);
  const message = await inbox.next(1000);
  expect(message).toMatchObject({ state: 'FDSTORE=1\nFDNAME=a', pid: process.pid, uid: 0 });
  expect(message?.fds.map((fd) => native.readMemfd(fd, 10).toString())).toEqual(['hello', 'hello']);
  expect(() => native.readMemfd(state, 4)).toThrow(/EFBIG/);
  native.closeDescriptors([state, ...(message?.fds ?? [])]);
  const waiting = inbox.next(60_000);
  expect(() => inbox.next(1)).toThrow(/another call waits/);
  inbox.close();
  expect(await waiting).toBe(undefined);
  expect(() => native.sendDescriptors(path, 'X=1', [])).toThrow(/ENOENT/);
  expect(() => inbox.next(1)).toThrow(/closed/);
});
