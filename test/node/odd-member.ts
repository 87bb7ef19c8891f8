/** A member that answers as no member should: with the certificate of one, beside a real one. */
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { closed, opened } from '../support/teardown.ts';

export class OddMember implements AsyncDisposable {
  readonly #server: Server;
  /** What it was asked: `GET /confluent-api/self/…`. */
  readonly asked: string[] = [];

  private constructor(state: string, answer: RequestListener) {
    const certificate = { key: readFileSync(join(state, 'member.key')), cert: readFileSync(join(state, 'member.pem')) };
    this.#server = createServer(certificate, (request, response) => {
      this.asked.push(`${request.method} ${request.url}`);
      request.resume();
      answer(request, response);
    });
    opened(this);
  }

  /** @param state of the member whose certificate it has. */
  static async start(state: string, address: string, answer: RequestListener): Promise<OddMember> {
    const member = new OddMember(state, answer);
    await new Promise<void>((resolve, reject) => {
      member.#server.on('error', reject).listen(443, address, resolve);
    });
    return member;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closed(this);
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
