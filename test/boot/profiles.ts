/** The profiles that scripts/test-boot has made (scripts/boot-profile), and changes of them. */
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Profile {
  /** Served as /confluent-public/. */
  readonly publicDir: string;
  /** Below that. */
  readonly path: string;
  readonly directory: string;
  readonly keyFile: string;
}

const path = 'os/demo';

/** @param variable that names the directory. @throws Error when it was not made. */
export function profileOf(variable: string): Profile {
  const made = process.env[variable];
  if (made === undefined) throw new Error(`$${variable} is not set: run npm run test:boot`);
  return profileAt(made);
}

/** @param made what scripts/boot-profile printed. */
export function profileAt(made: string): Profile {
  const publicDir = join(made, 'public');
  return { publicDir, path, directory: join(publicDir, path), keyFile: join(made, 'private/pending/rootimg.key') };
}

/** The root file system that it was packed from. */
export function rootOf({ publicDir }: Profile): string {
  return join(publicDir, '../../root');
}

/** The same with kernelargs of its own: what an administrator edits in profile.yaml. @param place an empty directory. */
export function withKernelArgs(profile: Profile, kernelargs: string, place: string): Profile {
  const publicDir = join(place, 'public');
  const directory = join(publicDir, path);
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(profile.directory)) {
    if (name !== 'profile.yaml') symlinkSync(join(profile.directory, name), join(directory, name));
  }
  const yaml = readFileSync(join(profile.directory, 'profile.yaml'), 'utf8');
  writeFileSync(join(directory, 'profile.yaml'), yaml.replace(/^kernelargs:.*$/m, `kernelargs: ${kernelargs}`));
  return { ...profile, publicDir, directory };
}

/** Bytes. */
export function initramfsSize({ directory }: Profile): number {
  return statSync(join(directory, 'boot/initramfs/distribution')).size;
}
