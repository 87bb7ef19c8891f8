/** Scripts of a node's profile: `scripts/onboot.custom`, then those of `scripts/onboot.d`, fetched from a member and run in order, as confluent's nodes do. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { TetherfsError } from '../../base/errors.ts';
import { parseYaml } from '../../profile/index.ts';
import { type ApiAnswer, goodAnswer, type MemberApi } from '../member-api.ts';

/** Upstream's, where scripts may run also on machines whose /tmp and /run let nothing run. */
const scratch = '/opt/confluent/tmpexec';

export interface FetchedScript {
  /** As the profile has it: `onboot.d/10-name`. */
  name: string;
  /** Where it lies, and is to be run: by its name. */
  directory: string;
  /** The member that it came from. */
  member: string;
}

/** Names of the scripts to be run, in their order. @throws TetherfsError UNREACHABLE, API */
export async function listScripts(api: MemberApi, profile: string): Promise<string[]> {
  const custom = await api.file(placeOf(profile, 'onboot.custom'));
  const hasCustom = !isMissing(custom) && goodAnswer(custom).status === 200;
  const { body } = goodAnswer(await api.ask('scriptlist/onboot.d'));
  const listed = z.array(z.string()).safeParse(parseYaml(body.toString('utf8'), 'scriptlist') ?? []);
  const wrong = listed.success ? listed.data.find((name) => !/^[^/\s]+$/.test(name) || name.startsWith('.')) : '';
  if (!listed.success || wrong !== undefined)
    throw new TetherfsError('API', `what the member says of scripts makes no sense${wrong ? `: ${wrong}` : ''}`);
  return [...(hasCustom ? ['onboot.custom'] : []), ...listed.data.map((name) => `onboot.d/${name}`)];
}

/** @param use gets the script, which goes with it. @throws TetherfsError UNREACHABLE, API; as `use` does. */
export async function withScript(
  api: MemberApi,
  profile: string,
  name: string,
  use: (script: FetchedScript) => Promise<void>,
): Promise<void> {
  const { member, body } = goodAnswer(await api.file(placeOf(profile, name)));
  await mkdir(scratch, { recursive: true });
  const directory = await mkdtemp(join(scratch, 'confluentscripts.'));
  try {
    const path = join(directory, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, body);
    await chmod(path, 0o755);
    await use({ name, directory, member });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function placeOf(profile: string, name: string): string {
  return `os/${profile}/scripts/${name.split('/').map(encodeURIComponent).join('/')}`;
}

/** Where one says so, and nobody has it: others may be away. */
function isMissing(answers: readonly ApiAnswer[]): boolean {
  return answers.at(-1)?.kind !== 'ok' && answers.some((answer) => answer.kind === 'invalid' && answer.status === 404);
}
