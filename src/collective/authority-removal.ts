/** Whether an authority may go: nodes that have booted before there was the one that signs next would believe no member any more. */
import { TetherfsError } from '../base/errors.ts';
import type { Authorities, AuthorityKind } from './authorities.ts';
import type { Nodes } from './nodes.ts';

const shownNames = 5;

/** @throws TetherfsError AUTHORITY that counts them. */
export async function insistOnBooted(
  { authorities, nodes }: { authorities: Authorities; nodes: Nodes },
  kind: AuthorityKind,
  id: string,
): Promise<void> {
  const all = await authorities.list(kind);
  const next = all.find(({ state }) => state === 'next');
  if (next === undefined || !all.some((one) => one.id === id && one.state === 'signs')) return;
  const behind = (await nodes.list()).filter(({ attributes }) => {
    const reported = attributes['deployment.state_last_updated'];
    return reported !== undefined && Date.parse(reported) < next.made;
  });
  if (behind.length === 0) return;
  const names = behind.slice(0, shownNames).map(({ name }) => name);
  const more = behind.length > names.length ? ', …' : '';
  throw new TetherfsError(
    'AUTHORITY',
    `nodes that have not booted since the next authority was made believe no other: ${behind.length} (${names.join(', ')}${more}); boot them first, or say --anyway`,
  );
}
