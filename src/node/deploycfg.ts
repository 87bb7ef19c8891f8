/** What a node is to be, as a member says it: its text. */
import { TetherfsError } from '../base/errors.ts';
import { parseYaml } from '../profile/index.ts';
import { type Deploycfg, deploycfgSchema } from '../protocol/deploycfg.ts';
import type { ApiAnswer, MemberApi } from './member-api.ts';

/** Asks what the node is to be, by its key: whether that is believed, too. @returns as MemberApi.ask */
export function askDeploycfg(api: MemberApi): Promise<ApiAnswer[]> {
  return api.ask('deploycfg2', { check: parseDeploycfg });
}

/** @throws TetherfsError API, UsageError; of a node for which nothing is pending its profile is none. */
export function parseDeploycfg(body: Buffer): Deploycfg {
  const found = parseYaml(body.toString('utf8'), 'deploycfg2');
  const parsed = deploycfgSchema.safeParse(found instanceof Map ? Object.fromEntries(found) : found);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new TetherfsError('API', `what the member says makes no sense: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  return parsed.data;
}
