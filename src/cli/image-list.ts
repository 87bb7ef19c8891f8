/** `tetherfs image list`: the profiles of confluent's tree, or the images of one. */
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { formatSize } from '../base/size.ts';
import { renderTable } from '../base/text-table.ts';
import type { ListedProfile } from '../imgutil/profile-list.ts';

interface ListFlags {
  tree?: string;
  json: boolean;
}

const shownHex = 'sha256:'.length + 12;

export function imageListCommand(): Command {
  return new Command('list')
    .description("the profiles of confluent's tree: what each boots, and what nodes would miss; or the images of one")
    .argument('[profile]')
    .option('--tree <dir>', "confluent's tree (default: /var/lib/confluent)")
    .option('--json', 'print JSON: all of both', false)
    .addHelpText(
      'after',
      `
Examples:
  tetherfs image list
  tetherfs image list demo`,
    )
    .action(async (name: string | undefined, { json, ...place }: ListFlags) => {
      const { listProfiles } = await import('../imgutil/profile-list.ts');
      const all = await listProfiles(place);
      const found = all.filter((profile) => name === undefined || profile.name === name);
      if (name !== undefined && found.length === 0)
        throw new UsageError(`${name}: there is no such profile; "tetherfs image list" shows all`);
      const text = json ? JSON.stringify(found, null, 2) : name === undefined ? profiles(found) : images(found);
      process.stdout.write(`${text}\n`);
    });
}

function profiles(all: readonly ListedProfile[]): string {
  const rows = all.map(({ name, label, images: [...own], lacks }) => {
    const newest = own.find(({ isNewest }) => isNewest);
    const image = newest === undefined ? 'none' : `${newest.digest?.slice(0, shownHex) ?? 'without a digest'}`;
    const size = newest === undefined ? '' : `${formatSize(newest.size)}${newest.isEncrypted ? '' : ', in clear'}`;
    return [name, label, image, size, String(own.length), lacks.join(', ')];
  });
  return renderTable(['profile', 'label', 'newest image', 'size', 'images', 'lacks'], rows);
}

function images(found: readonly ListedProfile[]): string {
  const rows = found.flatMap(({ images: own }) =>
    own.map(({ digest, size, arrived, isNewest, isEncrypted, path }) => [
      digest?.slice(0, shownHex) ?? 'without a digest',
      formatSize(size),
      new Date(arrived).toISOString().slice(0, 16),
      [...(isNewest ? ['newest'] : []), ...(isEncrypted ? [] : ['in clear'])].join(', '),
      path,
    ]),
  );
  return renderTable(['image', 'size', 'came', '', 'file'], rows);
}
