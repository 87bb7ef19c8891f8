/**
 * Files of the site: a member copies them into the node, by rsync over ssh, when it is asked to. What is to be merged or appended it lays into directories of ours, and we do the rest.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { shownText, TetherfsError } from '../../base/errors.ts';
import { runProgram } from '../../base/program.ts';
import { jittered, systemTime } from '../../base/time-source.ts';
import { RootTree } from '../identity/root-tree.ts';
import { goodAnswer, type MemberApi } from '../member-api.ts';
import { mergeAccounts, rangeOf } from './merged-accounts.ts';
import { mergeHosts } from './merged-hosts.ts';
import { OwnFile } from './own-file.ts';

const route = 'remotesyncfiles';
/** In memory, and nobody else's. */
const scratch = '/run/tetherfs';
const pauseMs = 1_500;

const schemaOfWho = z.object({ name: z.string().optional(), id: z.number().optional() });
const resultSchema = z.object({
  options: z
    .record(
      z.string(),
      z.object({ owner: schemaOfWho.optional(), group: schemaOfWho.optional(), permissions: z.string().optional() }),
    )
    .default({}),
});
type Result = z.infer<typeof resultSchema>;

/** @returns whether there were any. @throws TetherfsError SYNC when they cannot be had, SYNC_BUSY when another copy is under way; UNREACHABLE, API */
export async function syncFiles(api: MemberApi, signal: AbortSignal): Promise<boolean> {
  const work = await mkdtemp(join(scratch, 'sync-'));
  try {
    const [merge, appendOnce] = [join(work, 'merge'), join(work, 'append')];
    const result = await haveThemCopied(api, { merge, appendonce: appendOnce, myips: ownAddresses() }, signal);
    if (result === undefined) return false;
    const tree = new RootTree('');
    await mergeAll(tree, merge);
    for (const path of await filesBelow(appendOnce)) await append(path, await readFile(join(appendOnce, path)));
    const failed: unknown[] = [];
    for (const [path, options] of Object.entries(result.options))
      await setRights(path, options).catch((error: unknown) => failed.push(error));
    if (failed.length > 0) throw failed[0];
    return true;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Undefined: there is nothing to be copied. */
async function haveThemCopied(
  api: MemberApi,
  question: { merge: string; appendonce: string; myips: string[] },
  signal: AbortSignal,
): Promise<Result | undefined> {
  const answers = await api.ask(route, { method: 'POST', body: JSON.stringify(question) });
  const busy = answers.find((answer) => answer.kind === 'invalid' && answer.status === 503);
  if (busy !== undefined && answers.at(-1)?.kind !== 'ok')
    throw new TetherfsError('SYNC_BUSY', `${busy.member} is copying to this node already`);
  const { member, status } = goodAnswer(answers);
  if (status !== 202) return undefined;
  const copier = api.of(member);
  for (;;) {
    await sleep(jittered(systemTime, pauseMs), undefined, { signal });
    const [answer] = await copier.ask(route);
    if (answer?.kind === 'invalid' && answer.status === 500) throw new TetherfsError('SYNC', complaintOf(answer.why));
    const { status: now, body } = goodAnswer(answer === undefined ? [] : [answer]);
    // It tells a result once, and that answer may have got lost.
    if (now === 204) throw new TetherfsError('SYNC_BUSY', `${member} does not know any more what came of the copy`);
    const result = parse(body);
    if (result !== undefined) return result;
  }
}

/** Undefined while it goes on. @throws TetherfsError API */
function parse(body: Buffer): Result | undefined {
  try {
    const json: unknown = JSON.parse(body.toString('utf8'));
    return json === '' ? undefined : resultSchema.parse(json);
  } catch (cause) {
    throw new TetherfsError('API', 'what the member says of the copied files makes no sense', { cause });
  }
}

/** @param why status and words of the answer. */
function complaintOf(why: string): string {
  const [, words = why] = /^\d+ (.*)$/s.exec(why) ?? [];
  try {
    return shownText(String(z.object({ error: z.unknown() }).parse(JSON.parse(words)).error), 300);
  } catch {
    return words;
  }
}

/** Where a member may reach this node. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  const isLocal = (address: string) => /^(?:fe80:|169\.254\.)/i.test(address);
  return all.flatMap(({ address, internal }) => (internal || isLocal(address) ? [] : [address]));
}

async function mergeAll(tree: RootTree, merge: string): Promise<void> {
  const given = async (path: string) => (await readFile(join(merge, path)).catch(() => undefined))?.toString('latin1');
  // Of one character a byte: names of people may be in any encoding.
  const own = async (path: string) => (await tree.bytes(path))?.toString('latin1');
  const leave = (path: string, text: string) => tree.write(path, Buffer.from(text, 'latin1'));
  const defs = (await own('/etc/login.defs')) ?? '';
  for (const [kind, shadowPath] of [
    ['passwd', '/etc/shadow'],
    ['group', '/etc/gshadow'],
  ] as const) {
    const accounts = await given(`etc/${kind}`);
    if (accounts === undefined) continue;
    const shadow = await own(shadowPath);
    const before = { accounts: (await own(`/etc/${kind}`)) ?? '', shadow: shadow ?? '' };
    const merged = mergeAccounts(kind, before, accounts, rangeOf(defs, kind));
    await leave(`/etc/${kind}`, merged.accounts);
    if (shadow !== undefined) await leave(shadowPath, merged.shadow);
  }
  const hosts = await given('etc/hosts');
  if (hosts !== undefined) await leave('/etc/hosts', mergeHosts((await own('/etc/hosts')) ?? '', hosts));
}

/** Paths below a directory, which may not be there. */
async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length));
}

/** Unless it is there already. */
async function append(path: string, content: Buffer): Promise<void> {
  await using file = await OwnFile.at(path);
  const own = (await file.read()) ?? Buffer.alloc(0);
  if (own.includes(content)) return;
  const isWhole = own.length === 0 || own.at(-1) === newline;
  await file.replace(Buffer.concat([own, ...(isWhole ? [] : [Buffer.of(newline)]), content]));
}

const newline = 10;

async function setRights(path: string, { owner, group, permissions }: Result['options'][string]): Promise<void> {
  if (permissions !== undefined && !/^[0-7]{1,4}$/.test(permissions))
    throw new TetherfsError('SYNC', `${path}: (permissions=${permissions}) is no mode`);
  const failed: unknown[] = [];
  const number = (kind: 'passwd' | 'group', who: z.infer<typeof schemaOfWho> | undefined) =>
    numberOf(kind, who).catch((error: unknown) => void failed.push(error));
  const uid = await number('passwd', owner);
  const gid = await number('group', group);
  await using file = await OwnFile.at(path);
  await file.change(async (handle) => {
    // It takes away setuid, so it comes first. -1: as it is.
    if (uid !== undefined || gid !== undefined) await handle.chown(uid ?? -1, gid ?? -1);
    if (permissions !== undefined) await handle.chmod(Number.parseInt(permissions, 8));
  });
  if (failed.length > 0) throw failed[0];
}

/** By the name that this node knows, which need not be in its own files; else by the number. @throws TetherfsError SYNC */
async function numberOf(
  kind: 'passwd' | 'group',
  who: z.infer<typeof schemaOfWho> | undefined,
): Promise<number | undefined> {
  if (who?.name === undefined) return who?.id;
  const missing = (cause: unknown) => new TetherfsError('SYNC', 'there is no getent on this node', { cause });
  const line = await runProgram('getent', [kind, '--', who.name], { missing, done: [0, 2] });
  const [, , number] = line.split(':');
  if (number !== undefined) return Number(number);
  if (who.id !== undefined) return who.id;
  throw new TetherfsError('SYNC', `this node knows no ${kind === 'passwd' ? 'user' : 'group'} ${who.name}`);
}
