/**
 * Every network device is switched on, once: then it has an address of its own (IPv6 link-local) that nobody configures. Also those that come late: some firmware takes longer than all the rest of
 * an initramfs.
 */
import { readdirSync } from 'node:fs';
import { isDeviceUp, kernelDevices } from './devices.ts';
import { run } from './programs.ts';

const lookEveryMs = 500;

export class Links implements Disposable {
  readonly #met = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  /** Those that are there are on when it resolves. */
  static async switchOn(): Promise<Links> {
    const links = new Links();
    await links.#look();
    return links;
  }

  private constructor() {
    this.#timer = setInterval(() => void this.#look(), lookEveryMs);
    this.#timer.unref();
  }

  /** What somebody switches off afterwards stays off. */
  async #look(): Promise<void> {
    const isNew = (name: string) => !this.#met.has(name);
    for (const name of readdirSync(kernelDevices).filter(isNew)) {
      this.#met.add(name);
      if (isDeviceUp(name)) continue;
      // Without it there may be another: who waits for the network says what it misses.
      await run('ip', ['link', 'set', 'dev', name, 'up'], { package: 'iproute2' }).catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
