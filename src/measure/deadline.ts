import { setMaxListeners } from 'node:events';
import { MemberFault } from '../members/index.ts';

/** Aborts when something takes longer than so many ms. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    setMaxListeners(0, this.signal);
    const what = `not all had come after ${ms / 1_000} s`;
    this.#timer = setTimeout(() => this.#controller.abort(new MemberFault('timeout', '', what)), ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
