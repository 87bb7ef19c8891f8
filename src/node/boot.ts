/**
 * A diskless node's boot, from an initramfs with a network to a root file system that its tools hand over to: the image mounted, decrypted, a squashfs, and
 * above it what is written.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { TetherfsError, UsageError } from '../base/errors.ts';
import { shownUrl } from '../base/file-url.ts';
import { readGivenFile } from '../base/given-file.ts';
import { listMounts } from '../base/mounts.ts';
import { formatSize } from '../base/size.ts';
import { parseDigest } from '../image/digest.ts';
import { availableMemory } from '../mount/memory-check.ts';
import { type BootSettings, bootFile, readBootSettings } from '../profile/index.ts';
import { type Enrolment, enrol } from './enrol.ts';
import { Links } from './links.ts';
import { imageOfNode } from './node-image.ts';
import { rootSource } from './places.ts';
import { writeBootRecord } from './records.ts';
import { readIfThere } from './small-files.ts';
import { type BootConsole, describeSteps, kernelUptime, type Lack, Steps } from './step.ts';
import { chooseDecryption, readImageKey } from './steps/decrypt.ts';
import { insistOnInit, leaveShutdown } from './steps/hand-over.ts';
import { giveIdentity } from './steps/identity.ts';
import { type BootImage, describeImage, explainWaiting, mountImage } from './steps/image.ts';
import { mountLower } from './steps/lower.ts';
import { waitForNetwork } from './steps/network.ts';
import { mountOverlay } from './steps/overlay.ts';
import { setUpRootNetwork } from './steps/root-network.ts';
import { releaseImage, unpack } from './steps/unpack.ts';
import { readTrust, type SiteTrust } from './trust.ts';
import { abortImage, undo } from './undo.ts';

/** Below this, in bytes, a boot would end in the middle, by the OOM killer. */
const leastMemory = 192 * 1024 ** 2;

export interface BootOptions {
  /** Asked for when nothing else is against a boot. */
  settings: () => BootSettings;
  /** Where the root file system is to be mounted. */
  root: string;
  console: BootConsole;
  /** Ends the boot. */
  signal: AbortSignal;
}

interface RootOptions extends Omit<BootOptions, 'settings'> {
  settings: BootSettings;
}

/** Returns when the root file system is there. @throws TetherfsError when it cannot be; nothing is left of it then. */
export async function boot(options: BootOptions): Promise<void> {
  const { signal } = options;
  if (!(statSync(options.root, { throwIfNoEntry: false })?.isDirectory() ?? false)) {
    throw new UsageError(`${options.root}: no such directory to mount the root file system on`);
  }
  const root = realpathSync(options.root);
  if (listMounts().some(({ mountpoint, source }) => mountpoint === '/' && source === rootSource)) {
    throw new UsageError('this machine has booted: its root file system would be taken from under it');
  }
  // Of one that was killed: perhaps it was of another image.
  const settings = options.settings();
  await undo(root);
  const onAbort = () => void abortImage();
  signal.addEventListener('abort', onAbort);
  try {
    await makeRoot({ ...options, settings, root });
  } catch (error) {
    await undo(root);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function makeRoot({ settings, root, console, signal }: RootOptions): Promise<void> {
  const { insecureKeyFile, zram } = settings;
  const steps = new Steps(console, signal);
  const lacks: string[] = [];
  const lack: Lack = (what) => {
    lacks.push(what);
    console.say(`WARNING: ${what}`);
  };
  insistOnMemory();
  using _links = await Links.switchOn();
  const { keyFile, known, ...image } = await imageToBoot({ settings, steps, console, signal, lack });
  const { members, digest, imageMethod } = image;
  console.say(describeImage(image));
  if (insecureKeyFile !== undefined) {
    console.say(`WARNING: the key of the image comes from ${insecureKeyFile}: whoever can read the initramfs has it`);
    readImageKey(insecureKeyFile).fill(0);
  }
  await steps.run('network', () => waitForNetwork({ members, console, signal }));
  const decryption =
    keyFile === undefined
      ? 'none'
      : await steps.run('decryption', () => chooseDecryption(settings.decryption, (line) => console.say(line)));
  const keyFor = (who: typeof decryption) => (decryption === who ? keyFile : undefined);
  const file = await steps.run('image', () => mountImage({ image, keyFile: keyFor('tetherfs'), console, signal }));
  steps.explain = explainWaiting;
  if (imageMethod.word === 'uncompressed') {
    await steps.run('unpack', () => unpack(file, keyFor('dm-crypt'), root, signal));
    await steps.run('release', releaseImage);
  } else {
    const layers = await steps.run('squashfs', () => mountLower(file, keyFor('dm-crypt')));
    await steps.run('overlay', () => mountOverlay(root, layers, zram));
  }
  const identity = known && (await steps.run('identity', () => giveIdentity({ root, ...known, lack })));
  const rootNetwork =
    known && (await steps.run('root network', () => setUpRootNetwork({ root, ...known, console, lack })));
  await steps.run('hand-over', async () => {
    insistOnInit(root, settings.init);
    leaveShutdown();
  });
  const who = { identity, rootNetwork, lacks };
  const served = { members: members.map(shownUrl), membersGiven: settings.members.length > 0, digest, decryption };
  writeBootRecord({ method: imageMethod.word, ...served, ...who, steps: steps.records });
  console.say(
    `the root file system is there, ${kernelUptime().toFixed(1)} s after the kernel started: ${describeSteps(steps.records)}`,
  );
}

/** As it is said on the command line; or as the members say, who want to know first who asks. */
async function imageToBoot({
  settings,
  steps,
  console,
  signal,
  lack,
}: Pick<RootOptions, 'settings' | 'console' | 'signal'> & { steps: Steps; lack: Lack }): Promise<
  BootImage & { keyFile: string | undefined; known?: { enrolment: Enrolment; trust: SiteTrust } }
> {
  const { api, members, digest, caFile, imageMethod, insecureKeyFile } = settings;
  if (api === undefined) {
    const [first, ...others] = members;
    if (first === undefined) throw new UsageError('nobody is named who has the image');
    return { members: [first, ...others], digest, caFile, imageMethod, keyFile: insecureKeyFile };
  }
  const trust = readTrust();
  const enrolment = await enrol({ settings: api, trust, steps, console, signal, lack });
  const given = { members, digest, caFile };
  const image = await steps.run('image key', () => imageOfNode(enrolment, given, trust));
  return { ...image, imageMethod, known: { enrolment, trust } };
}

/** Settings of this machine. @throws UsageError */
export function settingsOfMachine(): BootSettings {
  const settings = readBootSettings(readFileSync('/proc/cmdline', 'utf8'), readIfThere(bootFile));
  const { digest, caFile } = settings;
  if (digest !== undefined) insistOnDigest(digest);
  if (caFile !== undefined) readGivenFile(caFile, 'tetherfs.ca-file=');
  return settings;
}

function insistOnDigest(text: string): void {
  try {
    parseDigest(text);
  } catch (cause) {
    throw new UsageError(`tetherfs.digest=${text}: give sha256: and 64 hexadecimal digits`, { cause });
  }
}

function insistOnMemory(): void {
  const available = availableMemory();
  if (available >= leastMemory) return;
  throw new TetherfsError(
    'MEMORY_SHORT',
    `too little memory to boot: ${formatSize(available)} are available, ${formatSize(leastMemory)} are needed at least`,
  );
}
