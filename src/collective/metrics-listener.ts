/** Where Prometheus asks a member: `GET /metrics`, on an address that is its own. */
import { createServer } from 'node:http';
import type { Registry } from 'prom-client';
import { TetherfsError } from '../base/errors.ts';
import { describeListenError, parseListenAddress } from '../base/listen-address.ts';

/** @returns what closes it. @throws UsageError, TetherfsError METRICS_LISTEN. */
export async function startMetricsListener(address: string, registry: Registry): Promise<() => void> {
  const target = parseListenAddress(address, '--metrics');
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') response.writeHead(404).end('try /metrics\n');
    else response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new TetherfsError('METRICS_LISTEN', `cannot listen for --metrics ${address}: ${describeListenError(cause)}`, {
          cause,
        }),
      ),
    );
    server.listen(target, resolve);
  });
  return () => {
    server.close();
    server.closeAllConnections();
  };
}
