/** HTTPS, HTTP, and the Unix socket of a proxy: Node's servers on ports that were bound before, with their deadlines. */
import { createServer as createPlainServer, type Server as HttpServer } from 'node:http';
import { createServer as createSecureServer, type Server as HttpsServer } from 'node:https';
import { memberApp, publicApp } from '../api/app.ts';
import type { ApiContext } from '../api/context.ts';
import type { MemberCertificate } from '../member-certificate.ts';
import type { MemberPorts } from '../member-ports.ts';
import type { CollectiveMetrics } from '../metrics.ts';
import type { Port } from '../ports.ts';

/** A request must have come by then, its headers before; ms. Upstream's clients take a new connection for each. */
const requestMs = 30_000;
const headersMs = 15_000;
const idleMs = 75_000;
const handshakeMs = 15_000;
/** How long requests that are under way may take when it ends, ms. */
const goodbyeMs = 5_000;
/** How often it is looked who has taken longer, ms. */
const sweepMs = 2_000;

/** A server of Node's sees to its times once it listens; ours get their connections from ports that were bound before. */
function boundTime(server: HttpServer | HttpsServer): void {
  server.requestTimeout = requestMs;
  server.headersTimeout = headersMs;
  server.keepAliveTimeout = idleMs;
  server.emit('listening');
}

export interface HttpParts {
  ports: Pick<MemberPorts, 'https' | 'http' | 'proxy'>;
  context: ApiContext;
  certificate: MemberCertificate;
  metrics: CollectiveMetrics;
  /** Gets what ends it. */
  closers: (() => unknown)[];
}

/** @returns the server of HTTPS, to which another certificate can be given. */
export async function serveHttp({ ports, context, certificate, metrics, closers }: HttpParts): Promise<HttpsServer> {
  const serve = async (
    on: readonly Port[],
    server: HttpServer | HttpsServer,
    makeApp: typeof memberApp | typeof publicApp,
  ) => {
    if (on.length === 0) return;
    boundTime(server);
    const app = makeApp(context, { serverFactory: (handler) => server.on('request', handler) });
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'none';
      metrics.requests.inc({ route, status: String(reply.statusCode) });
      metrics.requestSeconds.observe({ route }, reply.elapsedTime / 1000);
    });
    await app.ready();
    closers.push(async () => {
      const closed = app.close();
      server.closeIdleConnections();
      await Promise.all(on.map((port) => port.close(goodbyeMs)));
      await closed;
    });
    for (const port of on) port.serve((socket) => server.emit('connection', socket));
  };
  const first = await certificate.renew();
  const secure = createSecureServer({
    connectionsCheckingInterval: sweepMs,
    handshakeTimeout: handshakeMs,
    cert: first?.certificate,
    key: first?.key,
    minVersion: 'TLSv1.2',
  });
  await serve(ports.https, secure, memberApp);
  const plain = () => createPlainServer({ connectionsCheckingInterval: sweepMs });
  await serve(ports.http, plain(), publicApp);
  await serve(ports.proxy === undefined ? [] : [ports.proxy], plain(), memberApp);
  return secure;
}
