/**
 * Where the faults strike: three members, each a real nginx with files of its own behind an emulated link of its own; a daemon with defaults
 * and the digest; a reader process. Everything is new in each run, so that nothing is trained.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestName } from '../../src/base/digest-name.ts';
import type { MemberLine } from '../../src/mount/status.ts';
import { Daemon } from '../../test/support/daemon.ts';
import { Nginx } from '../../test/support/nginx.ts';
import type { PackedImage } from '../../test/support/packed-image.ts';
import { makeTempDir, type TempDir } from '../../test/support/temp-dir.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { type MemberLink, makeNetwork } from '../network/network.ts';
import { Reader } from './readers.ts';
import { clock, type Reading } from './reading.ts';
import type { SiteSettings } from './scenario.ts';

/** What every run reads unless it says otherwise: requests are always under way, and the links are far from full. */
const usualReading = { readers: 3, pauseMs: 10, order: 'random' } as const;

/** The image to serve, and others of its size that some member will serve instead. */
export interface FaultImages {
  image: PackedImage;
  /** The image with one byte in 10 000 flipped. */
  flipped: string;
  /** Another image altogether. */
  other: string;
}

export class FaultMember {
  readonly link: MemberLink;
  readonly nginx: Nginx;
  readonly url: string;
  readonly #directory: string;
  /** The one file that all its names lead to. */
  readonly #file: string;
  readonly #flag: string;

  constructor(link: MemberLink, nginx: Nginx, directory: string, image: PackedImage) {
    this.link = link;
    this.nginx = nginx;
    this.url = nginx.url(image.path);
    this.#directory = directory;
    this.#file = imageFileIn(directory, image);
    this.#flag = flagOf(directory);
  }

  /** Answers 503 to everything from the next request on. */
  refuse(): void {
    writeFileSync(this.#flag, '');
  }

  /** Answers 404 from the next request on. */
  hide(): void {
    renameSync(this.#file, join(this.#directory, 'hidden'));
  }

  /** Serves other bytes from the next request on, under the same size, time and so the same ETag: nothing but the bytes tells. */
  serveInstead(file: string): void {
    const { atime, mtime } = statSync(this.#file);
    const staged = `${this.#file}.staged`;
    linkSync(file, staged);
    utimesSync(staged, atime, mtime);
    renameSync(staged, this.#file);
  }

  /** Another image takes the place of its file, under the same name. */
  replace(file: string): void {
    const staged = `${this.#file}.staged`;
    linkSync(file, staged);
    renameSync(staged, this.#file);
  }

  /** What is done to its file from now on is done to its own. */
  ownFile(): void {
    const { atime, mtime } = statSync(this.#file);
    const staged = `${this.#file}.staged`;
    copyFileSync(this.#file, staged);
    utimesSync(staged, atime, mtime);
    renameSync(staged, this.#file);
  }

  /** Cuts its own file in place. */
  truncate(bytes: number): void {
    truncateSync(this.#file, bytes);
  }

  /** Writes another image over its own file, in place, as a careless copy does. */
  async overwrite(from: Buffer): Promise<void> {
    const file = openSync(this.#file, 'r+');
    try {
      const step = 4 << 20;
      for (let at = 0; at < from.length; at += step) {
        writeSync(file, from.subarray(at, at + step), 0, undefined, at);
        await sleep(0);
      }
    } finally {
      closeSync(file);
    }
  }

  /** Serves again as in the beginning. */
  async restore(): Promise<void> {
    rmSync(this.#flag, { force: true });
    const hidden = join(this.#directory, 'hidden');
    if (existsSync(hidden)) renameSync(hidden, this.#file);
    if (this.nginx.processes.length === 0) await this.nginx.restart();
    await this.link.restore();
  }
}

export class FaultSite implements AsyncDisposable {
  readonly members: FaultMember[];
  readonly images: FaultImages;
  readonly #directory: TempDir;
  readonly #owned: AsyncDisposableStack;
  /** Its exit status, once it has ended. */
  daemonEnded: number | undefined;
  #daemon: Daemon | undefined;

  private constructor(members: FaultMember[], images: FaultImages, directory: TempDir, owned: AsyncDisposableStack) {
    this.members = members;
    this.images = images;
    this.#directory = directory;
    this.#owned = owned;
  }

  static async start(images: FaultImages, { megabits = 300, rttMs = 1 }: SiteSettings = {}): Promise<FaultSite> {
    await using started = new AsyncDisposableStack();
    const directory = started.use(makeTempDir('faults'));
    const settings = { megabits, rttMs };
    const { links } = started.use(await makeNetwork([settings, settings, settings]));
    const members: FaultMember[] = [];
    for (const [i, link] of links.entries()) {
      const publicDir = join(dirname(images.image.publicDir), `member-${process.pid}-${i}`);
      rmSync(publicDir, { recursive: true, force: true });
      started.defer(() => rmSync(publicDir, { recursive: true, force: true }));
      linkFiles(images.image, publicDir);
      const { address, launcher } = link;
      const location = `if (-f ${flagOf(publicDir)}) { return 503; }`;
      const nginx = started.use(await Nginx.start({ address, launcher, publicDir, location }));
      members.push(new FaultMember(link, nginx, publicDir, images.image));
    }
    return new FaultSite(members, images, directory, started.move());
  }

  /** Mounts with defaults. @returns ms from the start of the command until the mount was there. */
  async mount(): Promise<number> {
    const { digest } = this.images.image;
    const startedAt = performance.now();
    const daemon = this.#owned.use(
      await Daemon.start({
        urls: this.members.map(({ url }) => url),
        mountpoint: join(this.#directory.path, 'mnt'),
        options: ['--digest', digest, '--log-level', 'info'],
      }),
    );
    this.#daemon = daemon;
    void daemon.ended.then((status) => {
      this.daemonEnded = status;
    });
    return performance.now() - startedAt;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('nothing is mounted yet');
    return this.#daemon;
  }

  /** Reads from now on, until the site ends. */
  read(changes: Partial<Reading> = {}): Reader {
    const file = join(this.daemon.mountpoint, 'rootimg.sfs');
    const reader = new Reader({ file, truth: this.images.image.imageFile, ...usualReading, ...changes });
    return this.#owned.use(reader);
  }

  /** Mounts, waits until all members serve, and reads for a while. @returns the reader, and when it had begun to read. */
  async readWell(healthyMs: number, changes: Partial<Reading> = {}): Promise<{ reader: Reader; from: number }> {
    await this.mount();
    await waitUntil('all members are up', async () =>
      (await this.daemon.status()).members.every(({ state }) => state === 'up'),
    );
    const reader = this.read(changes);
    await waitUntil('it reads', () => reader.reads.length > 0);
    const from = clock();
    await sleep(healthyMs);
    return { reader, from };
  }

  /** @throws Error with the daemon's log when it has ended. */
  async line(member: FaultMember): Promise<MemberLine> {
    if (this.daemonEnded !== undefined) throw new Error(`tetherfs ended with ${this.daemonEnded}:\n${this.daemon.log}`);
    const line = (await this.daemon.status()).members.find(({ url }) => url === member.url);
    if (line === undefined) throw new Error(`${member.url} is no member`);
    return line;
  }

  /** The one with most requests under way, at a moment when there is one. */
  inUse(): Promise<FaultMember> {
    return waitUntil(
      'a member has requests under way',
      async () => {
        if (this.daemonEnded !== undefined) return this.members[0];
        const { members } = await this.daemon.status();
        const busiest = members.reduce((a, b) => (b.inFlight > a.inFlight ? b : a));
        return busiest.inFlight > 0 && this.members.find(({ url }) => url === busiest.url);
      },
      { intervalMs: 1 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#owned.disposed) return;
    // a daemon without members would wait for nobody, but its readers would wait for it
    await Promise.all(this.members.map((member) => member.restore()));
    await this.#owned.disposeAsync();
  }
}

function imageFileIn(publicDir: string, { path, digest }: PackedImage): string {
  return join(publicDir, dirname(path), digestName(basename(path), digest.slice('sha256:'.length)));
}

function flagOf(publicDir: string): string {
  return join(publicDir, 'refuse');
}

/** The same files under a directory of the member's own: replacing one there replaces it nowhere else. */
function linkFiles(image: PackedImage, publicDir: string): void {
  const from = join(image.publicDir, dirname(image.path));
  const to = join(publicDir, dirname(image.path));
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isFile()) linkSync(join(from, entry.name), join(to, entry.name));
  }
  const file = imageFileIn(publicDir, image);
  for (const suffix of ['', '.fsverity']) {
    const plain = join(publicDir, image.path + suffix);
    if (!existsSync(plain)) symlinkSync(basename(file) + suffix, plain);
  }
}
