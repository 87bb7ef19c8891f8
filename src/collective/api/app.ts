/**
 * The member's HTTP: `/confluent-api/` for nodes that show their key, `/confluent-public/` for everybody. Over plain HTTP there is no API at all. What goes wrong in a route is
 * said in a line, with the status that upstream's clients expect; what is a defect says so, and no more.
 */
import fastifyStatic from '@fastify/static';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { describeError, TetherfsError } from '../../base/errors.ts';
import type { Profiles } from '../profiles.ts';
import type { ApiContext } from './context.ts';
import { bootTrace } from './routes/boot-trace.ts';
import { deploycfg } from './routes/deploycfg.ts';
import { health } from './routes/health.ts';
import { imageKey } from './routes/image-key.ts';
import { myattribs } from './routes/myattribs.ts';
import { netcfg } from './routes/netcfg.ts';
import { nodelist } from './routes/nodelist.ts';
import { profilePrivate } from './routes/profile-private.ts';
import { registerApiKey } from './routes/register-api-key.ts';
import { remoteConfig } from './routes/remote-config.ts';
import { remoteSyncFiles } from './routes/remote-sync-files.ts';
import { scriptList } from './routes/script-list.ts';
import { sshCert } from './routes/ssh-cert.ts';
import { tlsCert } from './routes/tls-cert.ts';
import { updateStatus } from './routes/update-status.ts';
import { whoami } from './routes/whoami.ts';
import { insistOnKey } from './who-asks.ts';

/** Of a request's body, bytes: the largest are boot traces. */
const largestBody = 1024 * 1024;

const anybody = [whoami, registerApiKey];
const nodes = [
  deploycfg,
  netcfg,
  myattribs,
  sshCert,
  tlsCert,
  nodelist,
  updateStatus,
  remoteSyncFiles,
  remoteConfig,
  scriptList,
  profilePrivate,
  imageKey,
  bootTrace,
];

/** Codes whose status is not 500. */
const statuses: Readonly<Record<string, number>> = {
  HOST_KEY: 400,
  CSR: 400,
  USAGE: 400,
  NO_PROFILE: 400,
  TOO_LARGE: 413,
};

export function memberApp(context: ApiContext, options: Pick<FastifyServerOptions, 'serverFactory'>): FastifyInstance {
  const app = newApp(options);
  app.register(
    async (api) => {
      api.removeAllContentTypeParsers();
      api.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
      for (const routes of anybody) routes(api, context);
      api.register(async (self) => {
        self.addHook('onRequest', insistOnKey(context));
        for (const routes of nodes) routes(self, context);
      });
      health(api, context);
    },
    { prefix: '/confluent-api' },
  );
  servePublic(app, context);
  answerErrors(app, context);
  return app;
}

/** Has everything loaded that fastify loads only when it is used: afterwards the place of the program may be out of reach. */
export async function rehearse(profiles: Profiles): Promise<void> {
  const app = newApp({});
  servePublic(app, { profiles });
  app.get('/', async () => 'ok');
  await app.ready();
  await app.close();
}

/** What plain HTTP serves: the public tree, nothing else. */
export function publicApp(
  context: Pick<ApiContext, 'profiles' | 'log'>,
  options: Pick<FastifyServerOptions, 'serverFactory'>,
): FastifyInstance {
  const app = newApp(options);
  servePublic(app, context);
  answerErrors(app, context);
  return app;
}

function newApp(options: Pick<FastifyServerOptions, 'serverFactory'>): FastifyInstance {
  return fastify({
    ...options,
    logger: false,
    bodyLimit: largestBody,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 2048 },
    exposeHeadRoutes: true,
  });
}

function servePublic(app: FastifyInstance, { profiles }: Pick<ApiContext, 'profiles'>): void {
  app.register(fastifyStatic, {
    root: profiles.publicRoot,
    prefix: '/confluent-public/',
    // As a boot script may ask for anything; nothing is listed.
    index: false,
    dotfiles: 'allow',
    allowedPath: (path) => profiles.isPublic(path),
    // A repack is published under the same name: what was got an hour ago may be another.
    cacheControl: false,
  });
}

function answerErrors(app: FastifyInstance, { log }: Pick<ApiContext, 'log'>): void {
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('Not found'));
  app.setErrorHandler((error, request, reply) => {
    const found = error as Error & { statusCode?: number; code?: string };
    const known = found instanceof TetherfsError ? (statuses[found.code] ?? 500) : found.statusCode;
    const status = known ?? 500;
    if (status >= 500) {
      log.error('a request failed', {
        route: request.routeOptions.url,
        error: describeError(found),
        stack: found instanceof TetherfsError ? undefined : found.stack,
      });
    }
    const words =
      found instanceof TetherfsError || status < 500
        ? describeError(found)
        : 'a defect of the server; its log says more';
    return reply.code(status).type('text/plain').send(words);
  });
}
