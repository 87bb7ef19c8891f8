/** `tetherfs collective profile|site|audit|status|backup|restore`. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../base/errors.ts';
import { renderTable } from '../base/text-table.ts';
import { defaultPlaces, rememberedMember } from '../collective/places.ts';
import { openSite, print, readInput, type StateFlags, shownTime, stateCommand } from './collective-options.ts';
import { collect } from './repeated-option.ts';

interface PlaceFlags extends StateFlags {
  tree?: string;
}

const treeWords = `where images and their keys are (default: as the member was started, else ${defaultPlaces.tree})`;

function treeOf({ state, tree }: PlaceFlags): string {
  return tree ?? rememberedMember(state)?.tree ?? defaultPlaces.tree;
}

export function profileCommand(): Command {
  const tree = ['--tree <directory>', treeWords] as const;
  const list = new Command('list')
    .description('all profiles, and the newest image of each')
    .option(...tree)
    .option('--json', 'print JSON', false)
    .option('--state <directory>', 'where the member keeps its state', defaultPlaces.state)
    .action(async (flags: PlaceFlags & { json: boolean }) => {
      const { Profiles } = await import('../collective/profiles.ts');
      const profiles = await new Profiles(treeOf(flags)).list();
      print(flags.json, profiles, () =>
        renderTable(
          ['profile', 'label', 'image'],
          profiles.map(({ name, label, digest }) => [name, label, digest === undefined ? 'none' : `sha256:${digest}`]),
        ),
      );
    });
  const show = new Command('show')
    .description('a profile, and which nodes boot it')
    .argument('<profile>')
    .option(...tree)
    .option('--state <directory>', 'where the member keeps its state', defaultPlaces.state)
    .option('--json', 'print JSON', false)
    .action(async (name: string, flags: PlaceFlags & { json: boolean }) => {
      const { Profiles } = await import('../collective/profiles.ts');
      const profiles = new Profiles(treeOf(flags));
      const found = (await profiles.list()).find((profile) => profile.name === name);
      if (found === undefined) throw new UsageError(`${name}: there is no such profile in ${profiles.publicRoot}/os`);
      await using site = await openSite(flags.state);
      const nodes = await site.nodes.list();
      const defaults = await site.nodes.defaults();
      const boots = nodes.filter(
        ({ attributes }) => ({ ...defaults, ...attributes })['deployment.pendingprofile'] === name,
      );
      const value = { ...found, nodes: boots.map((node) => node.name) };
      print(flags.json, value, () =>
        renderTable(
          [name, ''],
          [
            ['label', found.label],
            ['image', found.digest === undefined ? 'none' : `sha256:${found.digest}`],
            ['nodes', value.nodes.join(' ') || 'none'],
          ],
        ),
      );
    });
  const set = stateCommand('set')
    .description('what nodes boot from now on')
    .argument('<profile>')
    .argument('<node...>', 'n1, n1,n2 or n[1-20]')
    .option(...tree)
    .action(async (name: string, words: string[], flags: PlaceFlags) => {
      const { Profiles } = await import('../collective/profiles.ts');
      const { expandNames } = await import('../collective/nodes.ts');
      const where = treeOf(flags);
      if (!(await new Profiles(where).exists(name)))
        throw new UsageError(`${name}: there is no such profile in ${where}/public/os`);
      const names = expandNames(words);
      await using site = await openSite(flags.state);
      await site.nodes.set(names, { 'deployment.pendingprofile': name });
      for (const subject of names) await site.store.audit({ subject, event: 'profile set', by: site.by, detail: name });
    });
  return new Command('profile').description('what can be booted').addCommand(list).addCommand(show).addCommand(set);
}

export function siteCommand(): Command {
  return stateCommand('site')
    .description('write the archive that an initramfs knows its site by, and link it into all profiles')
    .option('--tree <directory>', treeWords)
    .option('--name <name>', "the member's name (default: as it was started)")
    .option(
      '--root-key <file>',
      'a public ssh key that may log in to every node as root; may be said again',
      collect,
      [],
    )
    .option(
      '--image-member <address>',
      'another member that serves the images, of which nodes are told; may be said again; none: ""',
      collect,
      [],
    )
    .option('--host-certificate-days <days>', 'how long host certificates are valid, 0 for ever', wholeNumber)
    .addHelpText(
      'after',
      '\nKeys, members and days stay until they are said anew. Nodes know what has changed after their next boot.',
    )
    .action(
      async (
        flags: PlaceFlags & { name?: string; rootKey: string[]; imageMember: string[]; hostCertificateDays?: number },
      ) => {
        const rootKeys = await Promise.all(flags.rootKey.map(readKey));
        const odd = flags.imageMember.find((address) => !/^[\w.:-]*$/.test(address));
        if (odd !== undefined) throw new UsageError(`--image-member ${odd}: give an address or a name`);
        const { hostname } = await import('node:os');
        const { changeSite } = await import('../collective/site.ts');
        const { SiteArchive, siteArchive } = await import('../collective/site-archive.ts');
        const { Profiles } = await import('../collective/profiles.ts');
        const { automationFile } = await import('../collective/places.ts');
        const { toolRunner } = await import('../collective/tools.ts');
        await using admin = await openSite(flags.state);
        const facts = await changeSite(admin.store, (before) => ({
          ...before,
          ...(rootKeys.length > 0 && { rootKeys }),
          ...(flags.imageMember.length > 0 && { imageMembers: flags.imageMember.filter((address) => address !== '') }),
          ...(flags.hostCertificateDays !== undefined && {
            hostCertificateDays: flags.hostCertificateDays || undefined,
          }),
        }));
        const profiles = new Profiles(treeOf(flags));
        const { store, authorities } = admin;
        const archive = new SiteArchive({
          ...{ store, authorities, profiles, run: toolRunner() },
          member: flags.name ?? rememberedMember(flags.state)?.name ?? hostname(),
          automationKey: automationFile(flags.state),
        });
        const { linked, failed } = await archive.renew();
        const path = join(profiles.publicRoot, siteArchive);
        process.stdout.write(`${path}: site ${facts.uuid}, ${facts.rootKeys.length} keys of people\n`);
        for (const name of linked) process.stdout.write(`linked into ${name}\n`);
        for (const why of failed) process.stderr.write(`tetherfs: not linked: ${why}\n`);
        await admin.store.audit({
          subject: 'site',
          event: 'site set',
          by: admin.by,
          detail: `${facts.rootKeys.length} keys of people, host certificates ${facts.hostCertificateDays ?? 'without end'}`,
        });
      },
    );
}

export function auditCommand(): Command {
  return stateCommand('audit')
    .description('who got or did what, from where, and when')
    .argument('[subject]', 'a node, or what else it is about')
    .option('--event <event>', 'of this kind alone')
    .option('--since <time>', '2026-11-30, or 2026-11-30T08:00:00Z', moment)
    .option('--limit <number>', 'the newest so many', wholeNumber, 100)
    .option('--json', 'print JSON', false)
    .action(
      async (
        subject: string | undefined,
        flags: StateFlags & { event?: string; since?: number; limit: number; json: boolean },
      ) => {
        await using site = await openSite(flags.state);
        const { event, since, limit } = flags;
        const entries = await site.store.audited({ subject, event, since, limit });
        if (entries.length === 0) process.stderr.write('tetherfs: the audit has nothing of that\n');
        print(flags.json, entries, () =>
          renderTable(
            ['time', 'about', 'event', 'by', ''],
            entries.map((entry) => [shownTime(entry.time), entry.subject, entry.event, entry.by, entry.detail ?? '']),
          ),
        );
      },
    );
}

export function statusCommand(): Command {
  return stateCommand('status')
    .description('the site at a glance')
    .option('--json', 'print JSON', false)
    .action(async ({ state, json }: StateFlags & { json: boolean }) => {
      const { readSite } = await import('../collective/site.ts');
      const { armedNow } = await import('../collective/arming.ts');
      await using site = await openSite(state);
      const nodes = await site.nodes.list();
      const states: Record<string, number> = {};
      for (const { attributes } of nodes) {
        const name = attributes['deployment.state'] ?? 'never reported';
        states[name] = (states[name] ?? 0) + 1;
      }
      const grants = await Promise.all(nodes.map(({ name }) => site.grants.state(name)));
      const armed = grants.filter((one) => armedNow(one, Date.now()) !== undefined).length;
      const { tree = '', name: member = '' } = rememberedMember(state) ?? {};
      const value = {
        site: (await readSite(site.store))?.uuid ?? '',
        member,
        tree,
        nodes: nodes.length,
        armed,
        states,
      };
      print(json, value, () =>
        renderTable(
          ['site', value.site],
          [
            ['member', value.member],
            ['tree', value.tree],
            ['nodes', String(value.nodes)],
            ['  armed', String(value.armed)],
            ...Object.entries(states).map(([name, count]) => [`  ${name}`, String(count)]),
          ],
        ),
      );
    });
}

export function backupCommand(): Command {
  return stateCommand('backup')
    .description('a copy of the store as it is at one moment, while the member goes on')
    .argument('<file>', 'that does not exist yet')
    .addHelpText(
      'after',
      `
The secrets in it are sealed by the master key (STATE/master.key, unless systemd holds it), which is not in it: keep a copy of that elsewhere. The member's automation key
(STATE/automation) is made anew where it is lost.`,
    )
    .action(async (file: string, { state }: StateFlags) => {
      if (existsSync(file)) throw new UsageError(`${file}: there is one already`);
      const { copyBackup } = await import('../collective/backup.ts');
      await copyBackup(state, file);
    });
}

export function restoreCommand(): Command {
  return stateCommand('restore')
    .description('the store of a backup in the place of what is there; the member must not run')
    .argument('<file>')
    .action(async (file: string, { state }: StateFlags) => {
      const { restoreBackup } = await import('../collective/backup.ts');
      const kept = await restoreBackup(state, file);
      process.stdout.write(`restored${kept === undefined ? '' : `; what was there is ${basename(kept)} now`}\n`);
    });
}

async function readKey(path: string): Promise<string> {
  const line = (await readInput(path)).trim();
  if (!/^(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?$/.test(line))
    throw new UsageError(`--root-key ${path}: that is no public ssh key (a .pub file)`);
  return line;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('Give a number.');
  return Number(text);
}

function moment(text: string): number {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new InvalidArgumentError('Give a time, e.g. 2026-11-30T08:00:00Z.');
  return at;
}
