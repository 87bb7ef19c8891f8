/**
 * Files of the member into a node: rsync over ssh. What is to be merged or appended goes to directories that the node has named, and it does the rest.
 */
import { glob, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import { type IntoTheNode, withSsh } from './into-the-node.ts';
import { absentOrUnreadable, insistOnReadable } from './readable.ts';
import { readSyncList, type SyncEntry } from './sync-list.ts';

export interface SyncRequest {
  node: string;
  profile: string;
  /** The node's address. */
  to: string;
  /** Directories on the node. */
  merge?: string | undefined;
  appendOnce?: string | undefined;
}

/** Of upstream's client: what it sets after it has the files. */
type Options = Record<string, Record<string, { name?: string; id?: number } | string>>;

export type SyncState =
  | { kind: 'running' }
  | { kind: 'done'; options: Options; output: string }
  | { kind: 'failed'; why: string };

/** Nodes that are served at once. */
const mostAtOnce = 8;
/** A node that takes longer is not there, ms. */
const longestMs = 600_000;
/** An answer that nobody asks for is forgotten, ms. */
const keptMs = 600_000;
const rsync = { package: 'rsync openssh-client' };

export class SyncFiles {
  readonly #parts: IntoTheNode;
  readonly #states = new Map<string, SyncState>();
  readonly #atOnce = pLimit(mostAtOnce);

  constructor(parts: IntoTheNode) {
    this.#parts = parts;
  }

  /** @throws TetherfsError when its list makes no sense. */
  async start(request: SyncRequest): Promise<'none' | 'empty' | 'started' | 'busy'> {
    const { node, profile } = request;
    if (this.#states.get(node)?.kind === 'running') return 'busy';
    if (profile === '') return 'none';
    const path = join(this.#parts.profiles.publicDirectory(profile), 'syncfiles');
    const entries = await readSyncList(path, node).catch(absentOrUnreadable(path));
    if (entries === undefined) return 'none';
    if (entries.length === 0) return 'empty';
    this.#states.set(node, { kind: 'running' });
    void this.#atOnce(() => this.#sync(request, entries)).then(
      (state) => this.#settle(node, state),
      (error: unknown) => this.#settle(node, { kind: 'failed', why: describeError(error) }),
    );
    return 'started';
  }

  /** What was done is told once. Undefined when there is nothing to tell. */
  state(node: string): SyncState | undefined {
    const state = this.#states.get(node);
    if (state !== undefined && state.kind !== 'running') this.#states.delete(node);
    return state;
  }

  #settle(node: string, state: SyncState): void {
    if (state.kind === 'failed') this.#parts.log.warn('files could not be copied to a node', { node, why: state.why });
    this.#states.set(node, state);
    setTimeout(() => {
      if (this.#states.get(node) === state) this.#states.delete(node);
    }, keptMs).unref();
  }

  #sync(request: SyncRequest, entries: readonly SyncEntry[]): Promise<SyncState> {
    const { run, automationKey } = this.#parts;
    return withSsh(request.node, this.#parts, async (work, sshWords) => {
      const stage = join(work, 'stage');
      await mkdir(stage, { mode: 0o755 });
      const staged = new Map<string, string[]>();
      for (const entry of entries) await addEntry(entry, placeOf(entry, request), staged);
      refuseNested([...staged.keys()]);
      for (const [path, sources] of staged) await stageFile(join(stage, path), sources);
      const ssh = ['ssh', '-i', automationKey, ...sshWords];
      const own = [`--usermap=${process.getuid?.()}:root`, `--groupmap=${process.getgid?.()}:root`];
      const words = ['-rvLpgotDA', '--no-implied-dirs', '--files-from=-', '--from0', ...own, '-e', ssh.join(' ')];
      const target = isIP(request.to) === 6 ? `[${request.to}]` : request.to;
      const output = await run('rsync', [...words, `${stage}/`, `root@${target}:/`], {
        ...rsync,
        input: [...staged.keys()].map((path) => `${path}\0`).join(''),
        signal: AbortSignal.timeout(longestMs),
      });
      return { kind: 'done', options: optionsOf(entries), output };
    });
  }
}

/** Below the root of the node; empty for what lies where it is said to. @throws UsageError when the node has named no directory for it. */
function placeOf({ section }: SyncEntry, { merge, appendOnce }: SyncRequest): string | undefined {
  if (section === 'replace') return '';
  const place = section === 'merge' ? merge : appendOnce;
  return place === undefined ? undefined : safe(place);
}

function safe(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || /[\0\n]/.test(path)) throw new UsageError(`${path}: no directory for files`);
  return parts.join('/');
}

/** What goes where: below the node's root, from one file or several, one after the other. */
async function addEntry(entry: SyncEntry, place: string | undefined, staged: Map<string, string[]>): Promise<void> {
  if (place === undefined) return;
  const found: string[] = [];
  for (const source of entry.sources) {
    const matches = await Array.fromAsync(glob(source));
    // Of what lies where it may not look, glob says that there is none.
    if (matches.length === 0) await insistOnReadable(source);
    if (matches.length === 0) throw new TetherfsError('SYNC', `there is no file ${source}`);
    for (const match of matches) await insistOnReadable(match);
    found.push(...matches.sort());
  }
  const { target } = entry;
  if (found.length > 1 && target !== undefined && !target.endsWith('/')) {
    throw new UsageError(`${entry.sources.join(' ')}: several files; ${target} must be a directory: ${target}/`);
  }
  for (const source of found) {
    const to = target === undefined ? source : target.endsWith('/') ? join(target, basename(source)) : target;
    const path = join(place, safe(to));
    staged.set(path, [...(staged.get(path) ?? []), source]);
  }
}

/** A link stands for each file: what lay below one would be written to where it leads, on this machine. The node has named some of the places. @throws UsageError */
function refuseNested(paths: readonly string[]): void {
  const all = new Set(paths);
  for (const path of paths) {
    for (let above = dirname(path); above !== '.'; above = dirname(above)) {
      if (all.has(above)) throw new UsageError(`/${path} would lie in /${above}, which is a file of the list itself`);
    }
  }
}

/** In a tree as the node's root is to be. */
async function stageFile(path: string, sources: readonly string[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const [source, ...others] = sources;
  if (source === undefined) return;
  await stat(source);
  if (others.length === 0) await symlink(source, path);
  else await writeFile(path, Buffer.concat(await Promise.all(sources.map((part) => readFile(part)))), { flag: 'wx' });
}

function optionsOf(entries: readonly SyncEntry[]): Options {
  return Object.fromEntries(
    entries.flatMap(({ sources, target, options }) =>
      (target === undefined ? sources : [target]).map((path) => [
        path,
        Object.fromEntries(Object.entries(options).map(shownOption)),
      ]),
    ),
  );
}

function shownOption([name, value]: [string, string]): [string, { name?: string; id?: number } | string] {
  if (name === 'permissions') return [name, value];
  return [name, /^\d+$/.test(value) ? { id: Number(value) } : { name: value }];
}
