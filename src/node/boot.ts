/**
 * A diskless node's boot, from an initramfs with a network to a root file system that its tools hand over to: the image mounted, decrypted, a squashfs, and
 * above it what is written.
 */
import { readFileSync } from 'node:fs';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { formatSize } from '../base/size.ts';
import { availableMemory } from '../mount/memory-check.ts';
import { type BootSettings, bootFile, readBootSettings } from '../profile/index.ts';
import { type BootConsole, kernelUptime, Steps } from './step.ts';
import { chooseDecryption, readImageKey } from './steps/decrypt.ts';
import { insistOnInit, leaveShutdown, writeRecord } from './steps/hand-over.ts';
import { describeImage, mountImage } from './steps/image.ts';
import { mountLower } from './steps/lower.ts';
import { waitForNetwork } from './steps/network.ts';
import { mountOverlay } from './steps/overlay.ts';
import { unpack } from './steps/unpack.ts';

/** Below this, in bytes, a boot would end in the middle, by the OOM killer. */
const leastMemory = 192 * 1024 ** 2;

export interface BootOptions {
  settings: BootSettings;
  /** Where the root file system is to be mounted. */
  root: string;
  console: BootConsole;
  /** Ends the boot. */
  signal: AbortSignal;
}

/** Returns when the root file system is there. @throws TetherfsError when it cannot be. */
export async function boot({ settings, root, console, signal }: BootOptions): Promise<void> {
  const { members, insecureKeyFile, imageMethod, zram } = settings;
  const steps = new Steps(console, signal);
  console.say(describeImage(settings));
  insistOnMemory();
  if (insecureKeyFile !== undefined) {
    console.say(`WARNING: the key of the image comes from ${insecureKeyFile}: whoever can read the initramfs has it`);
    readImageKey(insecureKeyFile).fill(0);
  }
  await steps.run('network', () => waitForNetwork({ members, console, signal }));
  const decryption =
    insecureKeyFile === undefined ? 'none' : await steps.run('decryption', () => chooseDecryption(settings.decryption));
  const keyFor = (who: typeof decryption) => (decryption === who ? insecureKeyFile : undefined);
  const file = await steps.run('image', () => mountImage({ settings, keyFile: keyFor('tetherfs'), console, signal }));
  if (imageMethod.word === 'uncompressed') {
    await steps.run('unpack', () => unpack(file, keyFor('dm-crypt'), root));
  } else {
    await steps.run('squashfs', () => mountLower(file, keyFor('dm-crypt')));
    await steps.run('overlay', () => mountOverlay(root, zram));
  }
  leaveShutdown();
  insistOnInit(root);
  writeRecord({ method: imageMethod.word, members, digest: settings.digest, decryption, steps: steps.records });
  const times = steps.records.map(({ name, began, ended }) => `${name} ${(ended - began).toFixed(1)} s`);
  console.say(
    `the root file system is there, ${kernelUptime().toFixed(1)} s after the kernel started: ${times.join(', ')}`,
  );
}

/** Settings of this machine. @throws UsageError */
export function settingsOfMachine(): BootSettings {
  return readBootSettings(readFileSync('/proc/cmdline', 'utf8'), readIfThere(bootFile));
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
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
