/** What the routes have in common: the parts of the member, and who asks. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../../base/log.ts';
import { formatYaml } from '../../protocol/deploycfg.ts';
import type { AttemptLimit } from '../attempt-limit.ts';
import type { Attributes } from '../attributes.ts';
import type { Authorities } from '../authorities.ts';
import type { SshAuthority } from '../authority/ssh.ts';
import type { BootTraces } from '../boot-traces.ts';
import type { Grants } from '../grants.ts';
import type { HostNames } from '../host-names.ts';
import type { LocalInterfaces } from '../local-interfaces.ts';
import type { NodeKeys } from '../node-keys.ts';
import type { Nodes } from '../nodes.ts';
import type { Playbooks } from '../playbooks.ts';
import type { Profiles } from '../profiles.ts';
import type { SiteFacts } from '../site-facts.ts';
import type { Store } from '../store/contract.ts';
import type { SyncFiles } from '../sync-files.ts';

export interface ApiContext {
  store: Store;
  nodes: Nodes;
  keys: NodeKeys;
  attempts: AttemptLimit;
  grants: Grants;
  authorities: Authorities;
  ssh: SshAuthority;
  profiles: Profiles;
  interfaces: LocalInterfaces;
  hostNames: HostNames;
  syncFiles: SyncFiles;
  playbooks: Playbooks;
  traces: BootTraces;
  site: SiteFacts;
  log: Log;
  /** Whether a proxy stands before us (a Unix socket), and its X-Forwarded-* are believed. */
  isBehindProxy: boolean;
}

/** A node that has shown its key. */
export interface Asking {
  node: string;
  /** Its own and the defaults. */
  attributes: Attributes;
  /** Its address, without a zone. */
  address: string;
  /** Ours that it has called. */
  called: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before a route of a node runs. */
    asking?: Asking;
  }
}

/** A file of routes adds its own. */
export type Routes = (app: FastifyInstance, context: ApiContext) => void;

/** @throws Error when the route is not one of a node's. */
export function whoAsks(request: FastifyRequest): Asking {
  if (request.asking === undefined) throw new Error('nobody has been asked who he is');
  return request.asking;
}

/** What the node is to boot, has staged, has booted: as far as they are said, each once. */
export function profilesOf(attributes: Attributes): string[] {
  const names = ['deployment.pendingprofile', 'deployment.stagedprofile', 'deployment.profile'];
  return [...new Set(names.flatMap((name) => attributes[name] || []))];
}

/** What the node boots or has booted; empty when nobody has said. */
export function profileOf(attributes: Attributes): string {
  return profilesOf(attributes)[0] ?? '';
}

/** As YAML or JSON, whichever was asked for (`isNegotiable`). @param yaml how it is written as YAML. */
export function send<T>(
  reply: FastifyReply,
  request: FastifyRequest,
  value: T,
  yaml: (value: T) => string = formatYaml,
): FastifyReply {
  if (request.headers.accept === 'application/json') return reply.type('application/json').send(JSON.stringify(value));
  return reply.type('application/yaml; charset=utf-8').send(yaml(value));
}

/** Whether the client takes anything: upstream's shell scripts do. */
export function takesAnything(request: FastifyRequest): boolean {
  const { accept } = request.headers;
  return accept === undefined || accept === '*/*';
}

/** Whether it takes what we have. */
export function isNegotiable(request: FastifyRequest): boolean {
  return takesAnything(request) || ['application/yaml', 'application/json'].includes(request.headers.accept ?? '');
}
