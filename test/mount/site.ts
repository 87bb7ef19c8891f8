/**
 * A site as a test has it: one packed, encrypted image and a few real nginx members that each serve a copy of their own, so that
 * a test can damage one member's and not the others'.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseKeyFile } from '../../src/image/key-file.ts';
import { pack } from '../../src/imgutil/pack.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { type CertificateAuthority, makeCertificateAuthority } from '../support/certificates.ts';
import { Daemon, isMounted } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import type { NginxOptions } from '../support/nginx-config.ts';
import { complain } from '../support/teardown.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';

const imagePath = 'os/test/rootimg.sfs';

export interface SiteOptions {
  /** How many members. */
  members?: number;
  /** MiB of incompressible data in the image. */
  mebibytes?: number;
  /** Puts further files into the image's tree. */
  populate?: (tree: string) => void;
  /** fs-verity block size in bytes. */
  blockSize?: number;
  /** The members are 127.0.0.N, from this N on; two sites at once need two. */
  firstHost?: number;
  nginx?: Partial<NginxOptions>;
}

const hourAgo = new Date(Date.now() - 3_600_000);

export class Site implements AsyncDisposable {
  readonly members: Nginx[] = [];
  readonly authority: CertificateAuthority;
  /** `sha256:…` of the image. */
  digest = '';
  keyFile = '';
  /** The image as served, and the squashfs in it. */
  served = Buffer.alloc(0);
  plain = Buffer.alloc(0);
  readonly #directory = makeTempDir('site');
  readonly #mountpoints: string[] = [];

  private constructor() {
    this.authority = makeCertificateAuthority(join(this.#directory.path, 'ca'));
  }

  static async make({
    members = 3,
    mebibytes = 24,
    populate = () => {},
    blockSize = 65_536,
    firstHost = 11,
    nginx = {},
  }: SiteOptions = {}): Promise<Site> {
    const site = new Site();
    try {
      await site.#pack(mebibytes, blockSize, populate);
      for (let index = 0; index < members; index++) await site.#addMember(index, firstHost, nginx);
      return site;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  urls(scheme: 'http' | 'https' = 'http'): string[] {
    return this.members.map((member) => member.url(imagePath, scheme));
  }

  /** The file that one member serves. */
  fileOf(member: number): string {
    return join(this.#directory.path, `public-${member}`, imagePath);
  }

  /** Other bytes in the same file, as `cp` over it does: a response under way sees them too. */
  overwrite(member: number, bytes: Buffer): void {
    const descriptor = openSync(this.fileOf(member), 'r+');
    writeSync(descriptor, bytes, 0, bytes.length, 0);
    closeSync(descriptor);
  }

  /** Another file of the same name, as `mv` over it does: a response under way keeps the old one. */
  replace(member: number, bytes: Buffer): void {
    writeFileSync(`${this.fileOf(member)}.new`, bytes);
    renameSync(`${this.fileOf(member)}.new`, this.fileOf(member));
  }

  /** A verified mount of all members, unless the options say otherwise. */
  mount(options: readonly string[] = ['--digest', this.digest], urls = this.urls()): Promise<Daemon> {
    return Daemon.start({ urls, mountpoint: this.newMountpoint(), options });
  }

  newMountpoint(): string {
    const mountpoint = join(this.#directory.path, `mnt-${this.#mountpoints.length}`);
    mkdirSync(mountpoint);
    this.#mountpoints.push(mountpoint);
    return mountpoint;
  }

  path(name: string): string {
    return join(this.#directory.path, name);
  }

  /** Ends what a test that failed has left mounted. One that did not fail has then. */
  endMounts(): void {
    for (const mountpoint of this.#mountpoints.filter(isMounted)) {
      execFileSync('umount', ['--lazy', mountpoint]);
      complain(`a mount was left on ${mountpoint}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endMounts();
    for (const member of this.members) await member.close();
    this.#directory.remove();
  }

  async #pack(mebibytes: number, verityBlockSize: number, populate: (tree: string) => void): Promise<void> {
    const tree = this.path('tree');
    const out = this.path('packed');
    mkdirSync(tree);
    writeFileSync(join(tree, 'random'), pseudoRandomBytes(mebibytes * 1024 * 1024, 1));
    writeFileSync(join(tree, 'hello'), 'hello\n');
    populate(tree);
    const { xts } = loadBinding();
    const packed = await pack({ sourceDir: tree, outDir: out, compression: 'zstd', verityBlockSize, xts });
    this.digest = packed.digest;
    this.keyFile = packed.keyPath ?? '';
    this.served = readFileSync(packed.imagePath);
    const key = parseKeyFile(readFileSync(this.keyFile));
    this.plain = Buffer.from(this.served.subarray(4096));
    xts(this.plain, key, 0, 'decrypt');
  }

  async #addMember(index: number, firstHost: number, nginx: Partial<NginxOptions>): Promise<void> {
    const address = `127.0.0.${firstHost + index}`;
    const publicDir = this.path(`public-${index}`);
    mkdirSync(join(publicDir, 'os/test'), { recursive: true });
    for (const suffix of ['', '.fsverity']) {
      copyFileSync(this.path(`packed/rootimg.sfs${suffix}`), `${this.fileOf(index)}${suffix}`);
      // As published an hour ago: without a digest, a mount waits until a file is older than a second.
      utimesSync(`${this.fileOf(index)}${suffix}`, hourAgo, hourAgo);
    }
    const certificate = this.authority.issue([address]);
    this.members.push(await Nginx.start({ address, publicDir, certificate, ...nginx }));
  }
}
