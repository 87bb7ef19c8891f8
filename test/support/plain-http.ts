/**
 * The plainest HTTP client: one request, one fresh connection, the whole body in memory. What tests and demo ask a member
 * with when they want a second opinion that owes nothing to tetherfs.
 */
import type { IncomingHttpHeaders } from 'node:http';
import http from 'node:http';
import https from 'node:https';

export interface PlainResponse {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface PlainRequest {
  method?: string;
  headers?: Record<string, string>;
  /** PEM text to trust instead of the system's authorities. */
  ca?: string;
  /** ms for the whole exchange. */
  timeoutMs?: number;
}

/** @throws Error with `code` (ECONNREFUSED, …) when no whole response comes; code ETIMEDOUT when it comes too late. */
export function plainGet(url: string, request: PlainRequest = {}): Promise<PlainResponse> {
  const { method = 'GET', headers = {}, ca, timeoutMs = 5_000 } = request;
  return new Promise((resolve, reject) => {
    const options = { method, headers, agent: false, ...(ca === undefined ? {} : { ca }) };
    const exchange = (url.startsWith('https:') ? https : http).request(url, options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
    });
    const tooLate = setTimeout(() => {
      exchange.destroy(Object.assign(new Error(`no answer from ${url} in ${timeoutMs} ms`), { code: 'ETIMEDOUT' }));
    }, timeoutMs);
    exchange.on('close', () => clearTimeout(tooLate));
    exchange.on('error', reject);
    exchange.end();
  });
}
