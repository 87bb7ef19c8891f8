/**
 * The smallest daemon over the binding that can be replaced: `takeover-daemon.ts DIRECTORY [take]`. It mounts DIRECTORY/mount, or goes on with what
 * the holder gave it, or with what the process in charge hands over (`take`). Chunk n is full of n; those from `lateChunk` on come
 * only with the third generation, so that reads of them wait. Each generation says so in DIRECTORY/log.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AdoptedMemory, loadBinding, type SettledProtocol, StoreEvent } from '../../src/native/binding.ts';

const chunkSize = 65536;
const chunks = 128;
export const lateChunk = 100;

interface State {
  generation: number;
  protocol: SettledProtocol;
  device: { major: number; minor: number };
  notifySocket: string;
}

const native = loadBinding();
const [directory = '.', mode] = process.argv.slice(2);
const say = (line: string) => appendFileSync(join(directory, 'log'), `${line}\n`);

/** What the process before us left: from the holder, or asked of the one in charge. */
async function inherited(): Promise<Map<string, number[]>> {
  const fds = new Map<string, number[]>();
  const add = (name: string, ...more: number[]) => fds.set(name, [...(fds.get(name) ?? []), ...more]);
  if (mode !== 'take') {
    for (const { name, fd } of native.takeListenedDescriptors()) add(name, fd);
    return fds;
  }
  const inbox = native.openDescriptorInbox(join(directory, 'inbox'));
  process.kill(Number(readFileSync(join(directory, 'pid'), 'utf8')), 'SIGUSR2');
  for (;;) {
    const message = await inbox.next(10_000);
    if (message === undefined) throw new Error('nothing was handed over');
    if (message.state === `GO=1`) break;
    add(/FDNAME=(.*)/.exec(message.state)?.[1] ?? '', ...message.fds);
  }
  inbox.close();
  inbox.close();
  return fds;
}

const fds = await inherited();
const blob = fds.get('state')?.[0];
const before = blob === undefined ? undefined : (JSON.parse(native.readMemfd(blob, 65536).toString()) as State);
if (before !== undefined) process.env['NOTIFY_SOCKET'] = before.notifySocket;
const generation = (before?.generation ?? 0) + 1;
const adopt: AdoptedMemory | undefined = before && {
  arenaFd: fds.get('arena')?.[0] ?? -1,
  ledgerFd: fds.get('ledger')?.[0] ?? -1,
};

const events = new Int32Array(192);
const store = native.createStore({
  imageSize: chunks * chunkSize,
  chunkSize,
  slots: chunks,
  hiddenBytes: 0,
  ...(adopt && { adopt }),
  onEvents() {
    for (let count = store.takeEvents(events); count > 0; count = store.takeEvents(events)) {
      for (let i = 0; i < count * 3; i += 3) {
        const [kind, chunk = 0, slot = 0] = events.subarray(i, i + 3);
        if (kind === StoreEvent.sessionEnded) {
          store.close();
          process.exit(0);
        }
        if (kind !== StoreEvent.granted || (chunk >= lateChunk && generation < 3)) continue;
        store.write(slot, 0, new Uint8Array(chunkSize).fill(chunk));
        store.complete(chunk, slot);
      }
    }
  },
});

const mountpoint = join(directory, 'mount');
const common = {
  mountpoint,
  fileName: 'image',
  source: 'takeover-test',
  mtime: 1,
  pageCache: 'keep' as const,
};
// A process more or less: threads are added, and never taken away.
const threads = generation === 2 ? 3 : 2;
const resend = process.env['TEST_NO_RESEND'] === undefined;
const session =
  before === undefined
    ? store.mount({ ...common, threads, passthrough: false })
    : store.adoptMount({
        ...common,
        threads,
        fuseFds: fds.get('fuse') ?? [],
        protocol: { ...before.protocol, resend: before.protocol.resend && resend },
        device: before.device,
      });
const { fuse, arena, ledger } = store.descriptors();
const state: State = {
  generation,
  protocol: session.protocol(),
  device: session.device,
  notifySocket: process.env['NOTIFY_SOCKET'] ?? '',
};
const handed = {
  fuse,
  arena: [arena],
  ledger: [ledger],
  state: [native.writeMemfd('state', Buffer.from(JSON.stringify(state)))],
};
for (const [name, own] of Object.entries(handed)) {
  if (!native.notifyServiceManager(`FDSTORE=1\nFDNAME=${name}`, own)) say(`the holder did not take ${name}`);
}

process.on('SIGUSR2', async () => {
  const to = join(directory, 'inbox');
  for (const [name, own] of Object.entries(handed)) native.sendDescriptors(to, `FDSTORE=1\nFDNAME=${name}`, own);
  await session.pause();
  session.resume();
  await session.pause();
  store.freeze();
  const successor = readFileSync(join(directory, 'successor'), 'utf8');
  native.notifyServiceManager(`MAINPID=${successor}`);
  native.sendDescriptors(to, 'GO=1', []);
  process.exit(0);
});
process.on('SIGTERM', () => void native.unmount(mountpoint, 'normal'));
// Nothing else keeps Node running.
setInterval(() => {}, 1000);
const inSlots = [...store.adoptedChunks().inSlots].sort((a, b) => a - b).join(' ');
say(`${generation} pid=${process.pid} argv0=${process.argv0} adopted=[${inSlots}] threads=${fuse.length}`);
