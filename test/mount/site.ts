/**
 * A site as a test has it: one packed, encrypted image and a few real nginx members that each serve a copy of their own, so that
 * a test can damage one member's and not the others'.
 */
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  renameSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type CertificateAuthority,
  makeCertificateAuthority,
  type ServerCertificate,
} from '../support/certificates.ts';
import { Daemon } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import type { NginxOptions } from '../support/nginx-config.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { type ImageContents, SiteImage } from './site-image.ts';

const imagePath = 'os/test/rootimg.sfs';

export interface SiteOptions extends Partial<ImageContents> {
  /** How many members. */
  members?: number;
  /** The members are 127.0.0.N, from this N on; two sites at once need two. */
  firstHost?: number;
  nginx?: Partial<NginxOptions>;
}

const hourAgo = new Date(Date.now() - 3_600_000);

/** Of all the sites of a test file: openssl takes its time. */
const certificates = {
  authority: undefined as CertificateAuthority | undefined,
  issued: new Map<string, ServerCertificate>(),
};

function authority(): CertificateAuthority {
  certificates.authority ??= makeCertificateAuthority(makeTempDir('authority').path);
  return certificates.authority;
}

function certificateFor(address: string): ServerCertificate {
  const certificate = certificates.issued.get(address) ?? authority().issue([address]);
  certificates.issued.set(address, certificate);
  return certificate;
}

export class Site implements AsyncDisposable {
  readonly members: Nginx[] = [];
  /** `sha256:…` of the image. */
  readonly digest: string;
  readonly keyFile: string;
  /** The image as served, and the squashfs in it. */
  readonly served: Buffer;
  readonly plain: Buffer;
  readonly #directory: TempDir;
  #mounts = 0;

  private constructor(directory: TempDir, { digest, keyFile, served, plain }: SiteImage) {
    this.#directory = directory;
    this.digest = digest;
    this.keyFile = keyFile;
    this.served = served;
    this.plain = plain;
  }

  static async make({
    members = 3,
    mebibytes = 24,
    populate,
    blockSize = 65_536,
    firstHost = 11,
    nginx = {},
  }: SiteOptions = {}): Promise<Site> {
    const directory = makeTempDir('site');
    const image = await SiteImage.make({ mebibytes, blockSize, populate }, directory.path);
    const site = new Site(directory, image);
    try {
      for (let index = 0; index < members; index++) {
        site.#publish(image, index);
        await site.#addMember(index, `127.0.0.${firstHost + index}`, nginx);
      }
      return site;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  get authority(): CertificateAuthority {
    return authority();
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

  /** A verified mount of all members by our own program, unless it is said otherwise. */
  mount(options: readonly string[] = ['--digest', this.digest], urls = this.urls(), command?: string): Promise<Daemon> {
    return Daemon.start({ urls, mountpoint: this.newMountpoint(), options, command });
  }

  newMountpoint(): string {
    const mountpoint = join(this.#directory.path, `mnt-${this.#mounts++}`);
    mkdirSync(mountpoint);
    return mountpoint;
  }

  path(name: string): string {
    return join(this.#directory.path, name);
  }

  /** Ends what a test that failed has left mounted. One that did not fail has then. */
  endMounts(): void {
    this.#directory.detachMounts();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members) await member.close();
    this.#directory.remove();
  }

  /** Gives a member its copy. */
  #publish(image: SiteImage, member: number): void {
    mkdirSync(dirname(this.fileOf(member)), { recursive: true });
    for (const suffix of ['', '.fsverity']) {
      copyFileSync(join(image.directory, `packed/rootimg.sfs${suffix}`), `${this.fileOf(member)}${suffix}`);
      // As published an hour ago: without a digest, a mount waits until a file is older than a second.
      utimesSync(`${this.fileOf(member)}${suffix}`, hourAgo, hourAgo);
    }
  }

  async #addMember(index: number, address: string, nginx: Partial<NginxOptions>): Promise<void> {
    const publicDir = this.path(`public-${index}`);
    const certificate = certificateFor(address);
    this.members.push(await Nginx.start({ address, publicDir, certificate, ...nginx }));
  }
}
