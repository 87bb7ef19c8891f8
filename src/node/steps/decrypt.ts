/** From the image's file to a block device that shows a squashfs. */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { describeError, TetherfsError } from '../../base/errors.ts';
import { readGivenFile } from '../../base/given-file.ts';
import { encryptedPayloadSize, headerSize, imageLayout, sectorSize } from '../../image/header.ts';
import { cipher, parseKeyFile } from '../../image/key-file.ts';
import { loadBinding } from '../../native/binding.ts';
import type { BootSettings } from '../../profile/index.ts';
import { loadModule, run } from '../programs.ts';

/** Who decrypts: the kernel above the mount, or the daemon below it. */
export type Decryption = 'dm-crypt' | 'tetherfs';

/** Their names in the device mapper. */
const mapping = 'tetherfs-root';
const trial = 'tetherfs-trial';
const dmsetup = { package: 'dmsetup' };
/** Whether udev runs in an initramfs, and with which rules, is its tool's business: /dev/dm-N is the kernel's. */
const withoutUdev = ['--noudevrules', '--noudevsync'];

/**
 * dm-crypt, where kernel and initramfs have it. @param doubt is told why it is not chosen where nobody has asked for the other. @throws TetherfsError when
 * it is asked for and not there.
 */
export async function chooseDecryption(
  wanted: BootSettings['decryption'],
  doubt: (line: string) => void,
): Promise<Decryption> {
  if (wanted === 'tetherfs') return wanted;
  await loadModule('dm-crypt');
  try {
    const targets = await run('dmsetup', ['targets'], dmsetup);
    if (!/^crypt\s/m.test(targets)) throw new TetherfsError('INITRAMFS', 'its targets have no crypt');
    await tryCipher();
    return 'dm-crypt';
  } catch (cause) {
    const what = `this kernel has no dm-crypt (${describeError(cause)})`;
    if (wanted === 'auto') {
      doubt(`${what}: tetherfs decrypts`);
      return 'tetherfs';
    }
    throw new TetherfsError('INITRAMFS', `${what}: say tetherfs.decryption=tetherfs, or add its driver`, { cause });
  }
}

/** dm-crypt may be there, and the cipher not. @throws TetherfsError, Error with errno's code */
async function tryCipher(): Promise<void> {
  const native = loadBinding();
  await loadModule('loop');
  const nothing = native.writeMemfd(trial, new Uint8Array(headerSize + sectorSize));
  try {
    const { device, fd } = await native.loopAttach(`/proc/self/fd/${nothing}`, 0, 0);
    try {
      await removeMapping(trial);
      await map(trial, device, headerSize + sectorSize, randomBytes(64).toString('hex'));
      await removeMapping(trial);
    } finally {
      closeSync(fd);
    }
  } finally {
    native.closeDescriptors([nothing]);
  }
}

/** @throws UsageError, KeyFileError when it is not there or none. */
export function readImageKey(keyFile: string): Uint8Array {
  return parseKeyFile(readGivenFile(keyFile, 'the key file'), keyFile);
}

export interface BlockDevice {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Lets go of it: it lasts as long as somebody else uses it. */
  release(): void;
}

/**
 * @param file as it is mounted. @param keyFile of dm-crypt; undefined when the file is in clear.
 * @throws TetherfsError IMAGE_KIND when it cannot be a root file system as it is.
 */
export async function attachImage(file: string, keyFile: string | undefined): Promise<BlockDevice> {
  const { head, size } = await readHead(file);
  const { format } = imageLayout(head);
  if (format === 'encrypted' && keyFile === undefined) {
    throw new TetherfsError(
      'IMAGE_KIND',
      'the image is encrypted, and nobody has given its key: pack it with --no-encrypt, or name a key file (tetherfs.insecure-key-file=)',
    );
  }
  if (format !== 'encrypted' && keyFile !== undefined) {
    throw new TetherfsError('IMAGE_KIND', 'a key is given, and the image is not encrypted: it is another one');
  }
  await loadModule('loop');
  if (!existsSync('/dev/loop-control')) {
    throw new TetherfsError('INITRAMFS', 'this kernel has no loop devices: there is no /dev/loop-control');
  }
  const { device, fd } = await loadBinding().loopAttach(file, 0, 0);
  const loop = { path: device, size, release: () => closeSync(fd) };
  if (keyFile === undefined) return loop;
  try {
    return await decrypted(device, size, keyFile);
  } finally {
    loop.release();
  }
}

async function decrypted(device: string, size: number, keyFile: string): Promise<BlockDevice> {
  await removeMapping(mapping);
  await map(mapping, device, size, Buffer.from(readImageKey(keyFile)).toString('hex'));
  const minor = await run('dmsetup', ['info', '--columns', '--noheadings', '-o', 'minor', mapping], dmsetup);
  return { path: `/dev/dm-${minor.trim()}`, size: encryptedPayloadSize(size), release() {} };
}

/** @param key in hexadecimal digits. */
function map(name: string, device: string, size: number, key: string): Promise<string> {
  const sectors = encryptedPayloadSize(size) / sectorSize;
  const table = `0 ${sectors} crypt ${cipher} ${key} 0 ${device} ${headerSize / sectorSize}\n`;
  return run('dmsetup', ['create', name, '--readonly', ...withoutUdev], { ...dmsetup, input: table });
}

/** Where nothing is mounted from it: what an earlier try has left. Whoever looks at a new device may have it open for a moment. */
export async function removeMapping(name = mapping): Promise<void> {
  await run('dmsetup', ['remove', '--retry', ...withoutUdev, name], dmsetup).catch(() => {});
}

async function readHead(file: string): Promise<{ head: Uint8Array; size: number }> {
  await using handle = await open(file);
  const { size } = await handle.stat();
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(headerSize), 0, headerSize, 0);
  return { head: buffer.subarray(0, bytesRead), size };
}
