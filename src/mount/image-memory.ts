/**
 * The image in RAM: pulled before the mount (untethered), filled behind the reads (progressive, `tetherfs untether`), let go again
 * (`tetherfs retether`). What is in RAM is checked once more against the digest before anything relies on it alone.
 */
import { describeError, TetherfsError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { formatSize } from '../base/size.ts';
import type { TimeSource } from '../base/time-source.ts';
import { BackgroundPace, type ChunkLoader, Filler, fullPace, type Pace, type Pause } from '../cache/index.ts';
import type { RamFile, Store } from '../native/binding.ts';
import {
  identityOfDescriptor,
  identityOfMounted,
  loopDevicesOn,
  moveLoopDevices,
  moveLoopDevicesToMount,
  UnmovableLoops,
} from './loop-devices.ts';
import { checkMemory } from './memory-check.ts';
import type { OpenedImage } from './open-image.ts';
import type { Transport } from './transport.ts';

export type MemoryState = 'tethered' | 'filling' | 'untethered';

export interface MemoryProgress {
  bytes: number;
  totalBytes: number;
  /** Bytes a second, lately. */
  rate: number;
}

export interface ImageMemoryParts {
  store: Store;
  image: OpenedImage;
  loader: ChunkLoader;
  /** An outage that lasts longer than this while the image is pulled ends the mount, in ms; undefined: it waits. */
  outageTimeoutMs: number | undefined;
  /** Path of the file in the mount. */
  path: () => string;
  /** The RAM file has come (its descriptor), or gone: whoever keeps descriptors for a successor is to know. */
  onRamFile: (fd: number | undefined) => void;
  log: Log;
  time: TimeSource;
}

const MiB = 1024 * 1024;
/** How much is checked in one go. */
const auditBytes = 64 * MiB;
/** How often progress is said and an outage is looked at, in ms. */
const tickMs = 500;
/** The rate is that of so many ticks. */
const rateTicks = 10;
/** A loop device that is attached after the image was complete is moved within this, in ms. */
const loopWatchMs = 5_000;
const lookAgainMs = 50;
/** How long members may take to show that they serve the image before its memory is let go. */
const confirmMs = 5_000;

export class ImageMemory {
  readonly #parts: ImageMemoryParts;
  #state: MemoryState = 'tethered';
  #ram: RamFile | undefined;
  #filler: Filler | undefined;
  #filling: Promise<void> = Promise.resolve();
  #transport: Transport | undefined;
  #retethering: Promise<void> | undefined;
  #closed = false;
  /** The look at loop devices that is under way. */
  #moving: Promise<void> = Promise.resolve();
  readonly #unmovable: UnmovableLoops;
  #stopWatching = () => {};
  #rate = 0;
  /** Bytes a second at most, as it was asked for when RAM began to be filled behind the reads. */
  #fillRate: number | undefined;

  constructor(parts: ImageMemoryParts) {
    this.#parts = parts;
    this.#unmovable = new UnmovableLoops(parts.log);
  }

  get state(): MemoryState {
    return this.#state;
  }

  get pause(): Pause | undefined {
    return this.#filler?.pause;
  }

  get progress(): MemoryProgress {
    const { geometry } = this.#parts.image;
    const { inRam } = this.#parts.loader;
    const bytes = Math.min(inRam.size * geometry.chunkSize, geometry.imageSize);
    return { bytes, totalBytes: geometry.imageSize, rate: this.#state === 'filling' ? this.#rate : 0 };
  }

  /** Loop devices that stand on the RAM file, but for those that are locked at this moment. Takes up to 250 ms when one is. */
  async loopDevices(): Promise<string[]> {
    return this.#ram === undefined ? [] : loopDevicesOn(identityOfDescriptor(this.#ram.fd));
  }

  /** The mount is there now: loop devices can be on it. */
  mounted(transport: Transport): void {
    this.#transport = transport;
    if (this.#state === 'untethered') this.#watchLoopDevices();
  }

  /**
   * The whole image, as fast as it comes. Resolves when all of it is in RAM and right, and no connection is left.
   * @throws TetherfsError IMAGE_TOO_LARGE before the first byte, OUTAGE when members stay out for too long, RAM_FAULT.
   */
  async pull(onProgress: (progress: MemoryProgress) => void): Promise<void> {
    this.#begin();
    const complete = await this.#fill(fullPace(this.#parts.image.collective), onProgress);
    if (!complete) throw new TetherfsError('PULL_ENDED', 'the pull of the image was ended before all of it had come');
    await this.#complete();
  }

  /**
   * The same behind the reads. Returns at once; nothing changes when it is under way or done.
   * @throws TetherfsError IMAGE_TOO_LARGE, RETETHERING while the memory is being let go.
   */
  untether(rate: number | undefined): void {
    if (this.#retethering !== undefined) {
      throw new TetherfsError('RETETHERING', 'the memory of the image is just being let go; ask again when it is free');
    }
    if (this.#state !== 'tethered') return;
    this.#begin();
    const { image, log } = this.#parts;
    log.info('filling RAM behind the reads', { size: formatSize(image.fileSize), ...(rate && { rate }) });
    this.#filling = this.#fillBehind(rate);
  }

  /** Goes on with the RAM file that a predecessor left: checks what is in it, and fills the rest behind the reads. */
  resume(rate: number | undefined): void {
    const { ram } = this.#parts.store.descriptors();
    if (ram === undefined) return;
    this.#ram = { fd: ram };
    this.#state = 'filling';
    this.#filling = this.#fillBehind(rate);
  }

  /**
   * Moves loop devices back to the mount and lets the memory go; once, however often it is asked for meanwhile.
   * @throws TetherfsError PASSTHROUGH; LOOP_DEVICE; NO_MEMBER when nobody serves the image, unless it is forced.
   */
  retether(force: boolean): Promise<void> {
    this.#retethering ??= this.#retether(force).finally(() => {
      this.#retethering = undefined;
    });
    return this.#retethering;
  }

  async #retether(force: boolean): Promise<void> {
    if (this.#transport === undefined) {
      throw new TetherfsError('NOT_MOUNTED', 'the image is being pulled for a mount that is not made yet');
    }
    if (this.#transport.facts().passthrough === true) {
      throw new TetherfsError(
        'PASSTHROUGH',
        'readers of an untethered mount pass by the daemon, straight to RAM; unmount it and mount it tethered instead',
      );
    }
    if (!force) await this.#confirmMembers();
    this.#filler?.stop();
    await this.#filling;
    if (this.#ram === undefined) return;
    this.#stopWatching();
    await this.#moving;
    try {
      const { fd } = this.#ram;
      await moveLoopDevicesToMount(
        identityOfDescriptor(fd),
        this.#parts.path(),
        identityOfMounted(this.#transport.device, this.#parts.image.fileName),
      );
    } catch (cause) {
      // As it was before.
      if (this.#state === 'filling') this.#filling = this.#fillBehind(this.#fillRate);
      else this.#watchLoopDevices();
      throw new TetherfsError('LOOP_DEVICE', `cannot let the memory go: ${describeError(cause)}`, { cause });
    }
    await this.#release();
    this.#parts.log.info('tethered again: the memory of the image is free');
  }

  close(): void {
    this.#closed = true;
    this.#stopWatching();
    this.#filler?.stop();
  }

  #begin(): void {
    const { image, store } = this.#parts;
    checkMemory(image.fileSize);
    this.#ram = store.attachRamFile();
    this.#parts.onRamFile(this.#ram.fd);
    this.#state = 'filling';
  }

  async #fillBehind(rate: number | undefined): Promise<void> {
    this.#fillRate = rate;
    const { image, loader, log, time } = this.#parts;
    const { collective } = image;
    const pace = new BackgroundPace({ collective, quietMs: () => loader.quietMs, rate, time });
    try {
      if (await this.#fill(pace, () => {})) await this.#complete();
    } catch (error) {
      if (this.#closed) return;
      log.error('the image cannot be kept in RAM', { error: describeError(error) });
      // What the kernel reads by itself cannot be taken from it.
      if (this.#transport?.facts().passthrough !== true) await this.#release();
    }
  }

  /** @returns false when it was stopped. */
  async #fill(pace: Pace, onProgress: (progress: MemoryProgress) => void): Promise<boolean> {
    const { image, loader, time } = this.#parts;
    const filler = new Filler({ geometry: image.geometry, loader, pace, time });
    this.#filler = filler;
    let failure: unknown;
    const stopTicking = this.#everyTick(() => {
      onProgress(this.progress);
      failure ??= this.#outageError();
      if (failure !== undefined) filler.stop();
    });
    const audited = this.#audit(filler);
    // It may fail while the filler still runs; it is awaited below.
    audited.catch(() => filler.stop());
    let complete: boolean;
    try {
      complete = await filler.run();
    } finally {
      stopTicking();
      this.#filler = undefined;
    }
    await audited;
    if (failure !== undefined) throw failure;
    onProgress(this.progress);
    return complete;
  }

  /** Follows the filler and reads back what is in RAM. @throws TetherfsError RAM_FAULT, having stopped the filler. */
  async #audit(filler: Filler): Promise<void> {
    const { store, image, loader, time } = this.#parts;
    const { chunkCount, chunkSize } = image.geometry;
    const step = auditBytes / chunkSize;
    for (let first = 0; first < chunkCount; ) {
      const count = Math.min(step, chunkCount - first);
      if (!loader.inRam.hasAll(first, count)) {
        if (this.#filler !== filler) return;
        await new Promise<void>((resolve) => time.after(lookAgainMs, resolve));
        continue;
      }
      const wrong = await store.auditRam(first, count);
      if (this.#closed) return;
      if (wrong >= 0) {
        filler.stop();
        throw new TetherfsError(
          'RAM_FAULT',
          `chunk ${wrong} of the image in RAM is not what was served and verified: is the memory of this machine faulty?`,
        );
      }
      first += count;
    }
  }

  async #complete(): Promise<void> {
    if (this.#closed) return;
    const { store, image, log } = this.#parts;
    this.#state = 'untethered';
    store.trim();
    image.collective.rest();
    const loops = await this.#moveLoopDevices();
    log.info('untethered: the whole image is in RAM, the members are not needed any more', {
      size: formatSize(image.fileSize),
      verified: image.digest !== undefined,
      ...(loops.length > 0 && { moved: loops.join(' ') }),
    });
    // Every reader is served from RAM from now on: the second copy of the same bytes is of no use.
    await this.#transport?.dropPages().catch((error: unknown) => {
      log.info('the page cache of the file stays', { error: describeError(error) });
    });
    if (this.#transport !== undefined) this.#watchLoopDevices();
  }

  /** Also devices that are attached later leave the mount. */
  #watchLoopDevices(): void {
    if (this.#transport?.facts().passthrough === true) return;
    if (this.#closed) return;
    const timer = setInterval(() => {
      this.#moving = this.#moveLateLoopDevices();
    }, loopWatchMs);
    timer.unref();
    this.#stopWatching = () => clearInterval(timer);
  }

  async #moveLateLoopDevices(): Promise<void> {
    const loops = await this.#moveLoopDevices();
    if (loops.length > 0) this.#parts.log.info('a loop device reads from RAM now', { moved: loops.join(' ') });
  }

  /** What is in RAM may be the only copy that can be had. @throws TetherfsError NO_MEMBER */
  async #confirmMembers(): Promise<void> {
    const { collective } = this.#parts.image;
    if (await collective.confirm(confirmMs)) return;
    const reasons = collective.status().members.map(({ url, reason }) => `${url} (${reason})`);
    throw new TetherfsError(
      'NO_MEMBER',
      `the memory stays, because no member serves the image now: ${reasons.join('; ')}; --force lets it go all the same`,
    );
  }

  async #moveLoopDevices(): Promise<string[]> {
    if (this.#transport === undefined || this.#ram === undefined) return [];
    return moveLoopDevices(
      identityOfMounted(this.#transport.device, this.#parts.image.fileName),
      this.#ram.fd,
      this.#unmovable,
    );
  }

  async #release(): Promise<void> {
    const { store, loader, time } = this.#parts;
    // Readers may have some of it pinned at this moment.
    while (!this.#closed && store.detachRamFile() > 0)
      await new Promise<void>((resolve) => time.after(lookAgainMs, resolve));
    if (this.#closed) return;
    loader.drain();
    loader.inRam.clear();
    this.#ram = undefined;
    this.#parts.onRamFile(undefined);
    this.#state = 'tethered';
  }

  #everyTick(callback: () => void): () => void {
    const samples = [this.progress.bytes];
    const timer = setInterval(() => {
      samples.push(this.progress.bytes);
      if (samples.length > rateTicks + 1) samples.shift();
      const [oldest = 0] = samples;
      this.#rate = ((samples.at(-1) ?? 0) - oldest) / ((samples.length - 1) * (tickMs / 1000));
      callback();
    }, tickMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  /** Only a pull ends by an outage; behind reads there is time. */
  #outageError(): TetherfsError | undefined {
    const { image, outageTimeoutMs } = this.#parts;
    if (outageTimeoutMs === undefined || this.#transport !== undefined) return undefined;
    if (image.collective.status().outageMs < outageTimeoutMs) return undefined;
    return new TetherfsError(
      'OUTAGE',
      `the image cannot be pulled: no member has been usable for ${Math.round(outageTimeoutMs / 1000)} s; is the collective up?`,
    );
  }
}
