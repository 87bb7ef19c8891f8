/**
 * A whole member: what `tetherfs collective run` starts. It binds its ports, becomes its own user, makes what is not there (authorities, keys, store), and serves. It need not be
 * root: ports below 1024 are a capability's (CAP_NET_BIND_SERVICE).
 */
import type { Socket as UdpSocket } from 'node:dgram';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer, type Server as HttpServer } from 'node:http';
import { createServer as createSecureServer, type Server as HttpsServer } from 'node:https';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { describeError, TetherfsError } from '../base/errors.ts';
import { parseListenAddress } from '../base/listen-address.ts';
import type { Log } from '../base/log.ts';
import { serveMetrics } from '../base/metrics-server.ts';
import { discoveryPort } from '../protocol/discovery.ts';
import { grantPort } from '../protocol/grant.ts';
import { memberApp, publicApp, rehearse } from './api/app.ts';
import type { ApiContext } from './api/context.ts';
import { AttemptLimit } from './attempt-limit.ts';
import { Authorities } from './authorities.ts';
import { loadMasterKey } from './authority/secrets.ts';
import { SshAuthority } from './authority/ssh.ts';
import { BootTraces } from './boot-traces.ts';
import { CryptTexts } from './crypt-text.ts';
import { Grants } from './grants.ts';
import { HostNames } from './host-names.ts';
import { answerNodes } from './listeners/discovery.ts';
import { answerGrant, mostGrantConnections } from './listeners/grant.ts';
import { LocalInterfaces } from './local-interfaces.ts';
import { MemberCertificate } from './member-certificate.ts';
import { CollectiveMetrics } from './metrics.ts';
import { NodeKeys } from './node-keys.ts';
import { isLinkLocal } from './node-networks.ts';
import { Nodes } from './nodes.ts';
import { automationFile, claimState, type Places, rememberMember, storeFile, sweepScratch } from './places.ts';
import { Playbooks } from './playbooks.ts';
import { bindDiscovery, Port } from './ports.ts';
import { Profiles } from './profiles.ts';
import { ensureSite } from './site.ts';
import { SiteArchive } from './site-archive.ts';
import type { SiteFacts } from './site-facts.ts';
import { SqliteStore } from './store/sqlite.ts';
import { SyncFiles } from './sync-files.ts';
import { type RunTool, toolRunner } from './tools.ts';

export interface MemberOptions {
  places: Places;
  /** Its name; that of the machine when it is not said. */
  name?: string | undefined;
  /** Other names by which nodes and people call it: for its certificate. */
  names: readonly string[];
  /** Addresses that are listened on; all when none is said. */
  addresses: readonly string[];
  /** 0: not at all. */
  httpsPort: number;
  httpPort: number;
  /** A Unix socket instead of both, behind a proxy. */
  socket?: string | undefined;
  /** Who may connect to it, besides us; everybody when nobody is named. */
  socketGroup?: number | undefined;
  grants: boolean;
  discovery: boolean;
  /** `ADDRESS:PORT` of the metrics. */
  metrics?: string | undefined;
}

export interface MemberParts {
  options: MemberOptions;
  log: Log;
  /** Runs external programs; tests pass one that looks at them. */
  run?: RunTool;
  /** Becomes the member's own user, once all ports are bound. */
  leaveRoot?: () => void;
}

export interface Member {
  /** What it has made and what there is to do, in lines. */
  summary: string[];
  close(): Promise<void>;
}

/** How long requests that are under way may take when it ends, ms. */
const goodbyeMs = 5_000;
/** How often it is looked whether authorities or addresses have changed, ms. */
const lookMs = 5_000;

/** @throws TetherfsError; everything is closed again then. */
export async function startMember(parts: MemberParts): Promise<Member> {
  const closers: (() => unknown)[] = [];
  try {
    return await start(parts, closers);
  } catch (error) {
    for (const close of closers.reverse()) await close();
    throw error;
  }
}

async function start(
  { options, log, run = toolRunner(), leaveRoot }: MemberParts,
  closers: (() => unknown)[],
): Promise<Member> {
  const { places, names } = options;
  closers.push(await claimState(places.state));
  const ports = await bindPorts(options, closers);
  let nodes: Nodes | undefined;
  const metrics = new CollectiveMetrics(async () => (await nodes?.list())?.length ?? 0);
  if (options.metrics !== undefined) await showMetrics(options.metrics, metrics, closers);
  const profiles = new Profiles(places.tree);
  await rehearse(profiles);
  const texts = new CryptTexts();
  leaveRoot?.();
  const member = options.name ?? hostname();
  sweepScratch(places.scratch);
  const isNew = !existsSync(storeFile(places.state));
  rememberMember(places.state, { name: member, tree: places.tree });
  const masterKey = loadMasterKey(places.state, isNew);
  const store = new SqliteStore(storeFile(places.state));
  closers.push(() => store.close());
  const ssh = new SshAuthority({ run, scratch: places.scratch });
  const authorities = new Authorities({ store, masterKey, ssh });
  const site = await ensureSite(store);
  const made = await authorities.make(site.uuid);
  const automationKey = await ensureAutomationKey(places.state, member, ssh);
  const interfaces = new LocalInterfaces();
  const hostNames = new HostNames();
  nodes = new Nodes(store);
  const attempts = new AttemptLimit();
  const keys = new NodeKeys({
    store,
    attempts,
    texts,
    onPromoted(node, peer) {
      metrics.keysPromoted.inc();
      void store.audit({ subject: node, event: 'key used', by: peer });
    },
  });
  const facts: SiteFacts = {
    uuid: site.uuid,
    member,
    memberNames: () => [...new Set([member, hostname(), ...names])],
    memberAddresses: async () => {
      const own = interfaces.ownAddresses().filter((address) => !isLinkLocal(address));
      return [...new Set([...own, ...(await ensureSite(store)).imageMembers])];
    },
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    hostCertificateDays: async () => (await ensureSite(store)).hostCertificateDays,
  };
  const knownHosts = async () =>
    (await authorities.list('ssh')).map(({ shown }) => `@cert-authority * ${shown.trim()}\n`).join('');
  const tools = { profiles, run, scratch: places.scratch, automationKey, knownHosts, log };
  const grants = new Grants(store, masterKey);
  const context: ApiContext = {
    store,
    nodes,
    keys,
    attempts,
    grants,
    authorities,
    ssh,
    profiles,
    interfaces,
    hostNames,
    syncFiles: new SyncFiles(tools),
    playbooks: new Playbooks(tools),
    traces: new BootTraces(profiles),
    site: facts,
    log,
    isBehindProxy: options.socket !== undefined,
  };
  const archive = new SiteArchive({ store, authorities, profiles, run, member, automationKey });
  const { linked, failed } = await archive.renew();
  for (const why of failed) log.warn('the site archive cannot be linked into a profile', { why });
  const certificate = new MemberCertificate({ authorities, interfaces, state: places.state, names: { member, names } });
  await serveHttp(ports, context, { certificate, archive, metrics, closers });
  const onEnded = (result: string) => metrics.grants.inc({ result });
  for (const port of ports.grants)
    port.serve((socket) => answerGrant(socket, { grants, nodes, interfaces, attempts, log, onEnded }));
  if (ports.discovery !== undefined) {
    const onAnswered = () => metrics.discoveries.inc();
    closers.push(answerNodes(ports.discovery, { nodes, interfaces, hostNames, site: facts, log, onAnswered }));
  }
  await store.audit({ subject: member, event: 'member started', by: 'tetherfs collective run' });
  const count = (await nodes.list()).length;
  return {
    summary: summaryOf({ options, member, uuid: site.uuid, isNew, made, linked, count }),
    async close() {
      for (const close of closers.reverse()) await close();
    },
  };
}

async function showMetrics(where: string, { registry }: CollectiveMetrics, closers: (() => unknown)[]): Promise<void> {
  const render = async () => ({ text: await registry.metrics(), contentType: registry.contentType });
  const server = await serveMetrics(where, parseListenAddress(where, '--metrics'), render);
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
}

interface Ports {
  /** The API and the public part. */
  https: Port[];
  /** The public part alone. */
  http: Port[];
  /** The API and the public part, from a proxy. */
  proxy: Port | undefined;
  grants: Port[];
  discovery: UdpSocket[] | undefined;
}

async function bindPorts(options: MemberOptions, closers: (() => unknown)[]): Promise<Ports> {
  const { addresses, httpsPort, httpPort, socket, socketGroup } = options;
  const hosts = addresses.length === 0 ? ['::'] : addresses;
  const bind = async (...where: Parameters<typeof Port.bind>) => {
    const port = await Port.bind(...where);
    closers.push(() => port.close());
    return port;
  };
  const all = async (port: number) => {
    const bound: Port[] = [];
    if (port !== 0 && socket === undefined)
      for (const host of hosts) bound.push(await bind({ host, port }, mostConnections));
    return bound;
  };
  if (socket !== undefined) {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
    if (lstatSync(socket, { throwIfNoEntry: false })?.isSocket() !== false) rmSync(socket, { force: true });
    else throw new TetherfsError('LISTEN', `--socket ${socket}: there is a file that is no socket`);
  }
  const discovery = options.discovery ? await bindDiscovery() : undefined;
  closers.push(() => discovery?.map((one) => one.close()));
  const https = await all(httpsPort);
  const http = await all(httpPort);
  const grants: Port[] = [];
  if (options.grants)
    for (const host of hosts) grants.push(await bind({ host, port: grantPort }, mostGrantConnections));
  const proxy = socket === undefined ? undefined : await bind({ path: socket, readableAll: true, writableAll: true });
  if (socket !== undefined && socketGroup !== undefined) {
    chmodSync(socket, 0o660);
    chownSync(socket, -1, socketGroup);
  }
  return {
    https,
    http,
    proxy,
    grants,
    discovery,
  };
}

async function ensureAutomationKey(state: string, member: string, ssh: SshAuthority): Promise<string> {
  const path = automationFile(state);
  if (existsSync(path)) return path;
  const pair = await ssh.make(`tetherfs automation of ${member}`);
  writeFileSync(`${path}.pub`, pair.publicKey, { mode: 0o644 });
  writeFileSync(path, pair.privateKey, { mode: 0o600 });
  return path;
}

/** A request must have come by then, its headers before; ms. Upstream's clients take a new connection for each. */
const requestMs = 30_000;
const headersMs = 15_000;
const idleMs = 75_000;
const handshakeMs = 15_000;
/** How often it is looked who has taken longer, ms. */
const sweepMs = 2_000;
/** At once, on one port: more are closed at once, so that there are descriptors for everything else. */
const mostConnections = 4_096;

/** A server of Node's sees to its times once it listens; ours get their connections from ports that were bound before. */
function boundTime(server: HttpServer | HttpsServer): void {
  server.requestTimeout = requestMs;
  server.headersTimeout = headersMs;
  server.keepAliveTimeout = idleMs;
  server.emit('listening');
}

interface HttpParts {
  certificate: MemberCertificate;
  archive: SiteArchive;
  metrics: CollectiveMetrics;
  closers: (() => unknown)[];
}

async function serveHttp(
  ports: Ports,
  context: ApiContext,
  { certificate, archive, metrics, closers }: HttpParts,
): Promise<void> {
  const { log } = context;
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
  const timer = setInterval(() => {
    archive.renew().then(
      ({ isNew, linked }) => {
        if (isNew) log.info('the site archive is written anew: nodes know what has changed after their next boot');
        for (const profile of linked) log.info('the site archive is linked into a profile', { profile });
      },
      (error: unknown) => log.error('the site archive cannot be written', { error: describeError(error) }),
    );
    certificate.renew().then(
      (pair) => {
        if (pair === undefined) return;
        secure.setSecureContext({ cert: pair.certificate, key: pair.key });
        log.info('this member shows a new certificate');
      },
      (error: unknown) => log.error('the certificate cannot be renewed', { error: describeError(error) }),
    );
  }, lookMs);
  timer.unref();
  closers.push(() => clearInterval(timer));
}

interface SummaryFacts {
  options: MemberOptions;
  member: string;
  uuid: string;
  isNew: boolean;
  made: readonly string[];
  linked: readonly string[];
  count: number;
}

function summaryOf({ options, member, uuid, isNew, made, linked, count }: SummaryFacts): string[] {
  const { state, tree } = options.places;
  const { socket, httpsPort, httpPort } = options;
  const listening = [
    ...(socket === undefined ? [] : [`${socket}, for a proxy`]),
    ...(socket !== undefined || httpsPort === 0 ? [] : [`HTTPS on port ${httpsPort}`]),
    ...(socket !== undefined || httpPort === 0 ? [] : [`HTTP on port ${httpPort}, the public part alone`]),
    ...(options.grants ? [`grants on port ${grantPort}`] : []),
    ...(options.discovery ? [`discovery on port ${discoveryPort}`] : []),
    ...(options.metrics === undefined ? [] : [`metrics on ${options.metrics}`]),
  ];
  return [
    `member ${member} of site ${uuid}`,
    `state: ${state}${isNew ? ' (new: back up master.key and the store, separately; "tetherfs collective backup --help")' : ''}`,
    ...(made.length > 0 ? [`made: authorities for ${made.join(' and ')}`] : []),
    `images: ${tree}/public/os, their keys: ${tree}/private/os`,
    `listens: ${listening.join('; ')}`,
    ...(linked.length > 0 ? [`site archive linked into ${linked.join(', ')}: nodes must boot with it`] : []),
    count === 0
      ? 'next: tetherfs collective node add NODE net.hwaddr=52:54:00:12:34:56 deployment.pendingprofile=PROFILE; tetherfs collective node arm NODE once'
      : `nodes: ${count}`,
  ];
}
