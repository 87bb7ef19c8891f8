/**
 * A whole member: what `tetherfs collective run` starts. It binds its ports, becomes its own user, makes what is not there (authorities, keys, store), and serves. It need not be
 * root: ports below 1024 are a capability's (CAP_NET_BIND_SERVICE).
 */
import { existsSync, writeFileSync } from 'node:fs';
import type { Server as HttpsServer } from 'node:https';
import { hostname } from 'node:os';
import { describeError } from '../base/errors.ts';
import { parseListenAddress } from '../base/listen-address.ts';
import type { Log } from '../base/log.ts';
import { serveMetrics } from '../base/metrics-server.ts';
import { rehearse } from './api/app.ts';
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
import { answerGrant } from './listeners/grant.ts';
import { serveHttp } from './listeners/http.ts';
import { LocalInterfaces } from './local-interfaces.ts';
import { MemberCertificate } from './member-certificate.ts';
import type { MemberOptions } from './member-options.ts';
import { bindPorts } from './member-ports.ts';
import { CollectiveMetrics } from './metrics.ts';
import { NodeKeys } from './node-keys.ts';
import { isLinkLocal } from './node-networks.ts';
import { Nodes } from './nodes.ts';
import { automationFile, claimState, rememberMember, storeFile, sweepScratch } from './places.ts';
import { Playbooks } from './playbooks.ts';
import { Profiles } from './profiles.ts';
import { ensureSite } from './site.ts';
import { SiteArchive } from './site-archive.ts';
import type { SiteFacts } from './site-facts.ts';
import { SqliteStore } from './store/sqlite.ts';
import { summaryOf } from './summary.ts';
import { SyncFiles } from './sync-files.ts';
import { type RunTool, toolRunner } from './tools.ts';

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
  const [attempts, audited] = [new AttemptLimit(), new AttemptLimit()];
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
  const https = await serveHttp({ ports, context, certificate, metrics, closers });
  closers.push(lookForChanges({ archive, certificate, https, log }));
  const onEnded = (result: string) => metrics.grants.inc({ result });
  for (const port of ports.grants)
    port.serve((socket) => answerGrant(socket, { grants, nodes, interfaces, attempts, audited, log, onEnded }));
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

async function ensureAutomationKey(state: string, member: string, ssh: SshAuthority): Promise<string> {
  const path = automationFile(state);
  if (existsSync(path)) return path;
  const pair = await ssh.make(`tetherfs automation of ${member}`);
  writeFileSync(`${path}.pub`, pair.publicKey, { mode: 0o644 });
  writeFileSync(path, pair.privateKey, { mode: 0o600 });
  return path;
}

interface Changing {
  archive: SiteArchive;
  certificate: MemberCertificate;
  https: HttpsServer;
  log: Log;
}

/** Authorities are changed by commands, addresses by the machine. @returns what ends the looking. */
function lookForChanges({ archive, certificate, https, log }: Changing): () => void {
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
        https.setSecureContext({ cert: pair.certificate, key: pair.key });
        log.info('this member shows a new certificate');
      },
      (error: unknown) => log.error('the certificate cannot be renewed', { error: describeError(error) }),
    );
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}
