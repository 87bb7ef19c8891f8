/** Where Prometheus asks: `GET /metrics`, and nothing else. */
import type { Server } from 'node:http';
import { TetherfsError } from './errors.ts';
import { describeListenError, type ListenAddress } from './listen-address.ts';
import { createServer } from './node-http.ts';

export interface RenderedMetrics {
  text: string;
  contentType: string;
}

/** @param given the address as `--metrics` has it. @throws TetherfsError METRICS_LISTEN when it cannot be listened on. */
export async function serveMetrics(
  given: string,
  target: ListenAddress,
  render: () => Promise<RenderedMetrics>,
): Promise<Server> {
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end('try /metrics\n');
      return;
    }
    const { text, contentType } = await render();
    response.writeHead(200, { 'content-type': contentType }).end(text);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const what = `cannot listen for --metrics ${given}: ${describeListenError(cause)}`;
      reject(new TetherfsError('METRICS_LISTEN', what, { cause }));
    });
    server.listen(target, resolve);
  });
  return server;
}
