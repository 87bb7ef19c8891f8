/** `tetherfs collective node`: the nodes of the site. */
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { renderTable } from '../base/text-table.ts';
import { armedNow, formatArming, parseArming } from '../collective/arming.ts';
import { isSecretAttribute, knownAttributes } from '../collective/attributes.ts';
import type { AttributeChanges } from '../collective/nodes.ts';
import { expandNames } from '../collective/nodes.ts';
import { defaultPlaces, rememberedMember } from '../collective/places.ts';
import { profileName } from '../profile/index.ts';
import {
  askSecret,
  openSite,
  print,
  readInput,
  type StateFlags,
  shownTime,
  stateCommand,
} from './collective-options.ts';

interface SetFlags extends StateFlags {
  rootPassword: boolean;
  rootPasswordFile?: string;
}

const attributeHelp = `
Attributes (NAME of a network may be left out):
${knownAttributes.map(({ as, what, form }) => `  ${as.padEnd(34)}${what}${form === '' ? '' : `: ${form}`}`).join('\n')}

An empty value takes an attribute away. Secrets are none of the words: --root-password asks, --root-password-file reads.`;

export function nodesCommand(): Command {
  return new Command('node')
    .description('nodes: who they are, what they boot, and whether they may get a key')
    .addCommand(addCommand())
    .addCommand(setCommand())
    .addCommand(showCommand())
    .addCommand(listCommand())
    .addCommand(removeCommand())
    .addCommand(armCommand())
    .addCommand(disarmCommand())
    .addCommand(importCommand());
}

function addCommand(): Command {
  return withPassword(stateCommand('add'))
    .description('new nodes')
    .argument('<node-and-attributes...>', 'n1, n1,n2 or n[1-20], then NAME=VALUE')
    .addHelpText('after', attributeHelp)
    .action(async (words: string[], flags: SetFlags) => {
      const { names, attributes } = await readWords(words, flags);
      const odd = await oddProfile(attributes, flags.state);
      await using site = await openSite(flags.state);
      await site.nodes.add(names, attributes);
      process.stderr.write(odd);
      for (const subject of names) await site.store.audit({ subject, event: 'node added', by: site.by });
    });
}

function setCommand(): Command {
  return withPassword(stateCommand('set'))
    .description('attributes of nodes, or with --default of all that have not their own')
    .argument('[node-and-attributes...]', 'n1, n1,n2 or n[1-20], then NAME=VALUE')
    .option('--default', 'no node: what is true of all', false)
    .addHelpText('after', attributeHelp)
    .action(async (words: string[], flags: SetFlags & { default: boolean }) => {
      const { names, attributes } = await readWords(words, flags, flags.default);
      if (Object.keys(attributes).length === 0) throw new UsageError('give an attribute: NAME=VALUE');
      const odd = await oddProfile(attributes, flags.state);
      await using site = await openSite(flags.state);
      if (flags.default) await site.nodes.setDefaults(attributes);
      else await site.nodes.set(names, attributes);
      process.stderr.write(odd);
      const detail = Object.keys(attributes).join(' ');
      for (const subject of flags.default ? ['defaults'] : names)
        await site.store.audit({ subject, event: 'node set', by: site.by, detail });
    });
}

function showCommand(): Command {
  return stateCommand('show')
    .description('all that is known of a node; its own attributes, and the defaults')
    .argument('<node>')
    .option('--json', 'print JSON', false)
    .action(async (name: string, { state, json }: StateFlags & { json: boolean }) => {
      await using site = await openSite(state);
      const { attributes: own } = await site.nodes.insistOn(name);
      const grants = await site.grants.state(name);
      const { candidate, promoted, token } = grants;
      const all = { ...(await site.nodes.defaults()), ...own };
      const shown = Object.fromEntries(
        Object.entries(all).map(([attribute, value]) => [attribute, isSecretAttribute(attribute) ? '********' : value]),
      );
      const key = {
        armed: formatArming(armedNow(grants, Date.now())),
        key: promoted === undefined ? 'none' : 'in use',
        ...(candidate !== undefined && { granted: `to ${candidate.peer}, ${shownTime(candidate.at)}, not used yet` }),
        token: token !== undefined,
      };
      print(json, { name, attributes: shown, ...key }, () =>
        renderTable(
          [name, ''],
          [
            ...Object.entries(shown).map(([attribute, value]) => [
              attribute,
              attribute in own ? value : `${value}  (default)`,
            ]),
            ['armed', key.armed || 'no'],
            ['key', key.key + (key.granted === undefined ? '' : `; one granted ${key.granted}`)],
          ],
        ),
      );
    });
}

function listCommand(): Command {
  return stateCommand('list')
    .description('all nodes: profile, state, when it reported last')
    .option('--json', 'print JSON', false)
    .action(async ({ state, json }: StateFlags & { json: boolean }) => {
      await using site = await openSite(state);
      const nodes = await site.nodes.list();
      const rows = await Promise.all(
        nodes.map(async ({ name, attributes }) => {
          return {
            name,
            boots: attributes['deployment.pendingprofile'] ?? '',
            runs: attributes['deployment.profile'] ?? '',
            state: attributes['deployment.state'] ?? '',
            reported: attributes['deployment.state_last_updated'] ?? '',
            armed: formatArming(armedNow(await site.grants.state(name), Date.now())),
          };
        }),
      );
      print(json, rows, () =>
        renderTable(
          ['node', 'boots', 'runs', 'state', 'reported', 'armed'],
          rows.map(({ name, boots, runs, state: reportedState, reported, armed }) => [
            name,
            boots,
            runs,
            reportedState,
            reported === '' ? '' : shownTime(Date.parse(reported)),
            armed,
          ]),
        ),
      );
    });
}

function removeCommand(): Command {
  return stateCommand('rm')
    .description('forget nodes, and their keys')
    .argument('<node...>', 'n1, n1,n2 or n[1-20]')
    .action(async (words: string[], { state }: StateFlags) => {
      const names = expandNames(words);
      await using site = await openSite(state);
      await site.nodes.remove(names);
      for (const subject of names) await site.store.audit({ subject, event: 'node removed', by: site.by });
    });
}

function armCommand(): Command {
  return stateCommand('arm')
    .description('let nodes get a key')
    .usage('[options] <node...> <how-long>')
    .argument('<node...>', 'n1, n1,n2 or n[1-20], then how long')
    .option('--token', 'a token for each, by which it may ask from anywhere: printed, NODE TOKEN a line', false)
    .addHelpText(
      'after',
      `
How long: once (one key, until it is used), continuous, an end (2026-12-01T08:00:00Z), or a time from now (30min, 8h, 2d).

Example:
  tetherfs collective node arm n[1-20] once`,
    )
    .action(async (words: string[], { state, token }: StateFlags & { token: boolean }) => {
      const how = words.length > 1 ? (words.pop() ?? '') : '';
      const mode = parseArming(how, Date.now());
      if (mode === undefined)
        throw new UsageError(
          `say how long, after the nodes: once, continuous, an end that is to come (2026-12-01T08:00:00Z), 30min, 8h or 2d`,
        );
      const names = expandNames(words);
      await using site = await openSite(state);
      for (const name of names) await site.nodes.insistOn(name);
      const tokens = await site.grants.arm(names, mode, site.by, token);
      for (const [name, secret] of tokens) process.stdout.write(`${name} ${secret}\n`);
    });
}

function disarmCommand(): Command {
  return stateCommand('disarm')
    .description('let nodes get no key any more; those that they have stay')
    .argument('<node...>', 'n1, n1,n2 or n[1-20]')
    .action(async (words: string[], { state }: StateFlags) => {
      const names = expandNames(words);
      await using site = await openSite(state);
      for (const name of names) await site.nodes.insistOn(name);
      await site.grants.disarm(names, site.by);
    });
}

function importCommand(): Command {
  return stateCommand('import')
    .description("nodes of a file: YAML, CSV, or what confluent's nodeattrib prints")
    .argument('<file>', '- for standard input')
    .addHelpText(
      'after',
      `
YAML: a map of nodes, each a map of attributes. CSV (commas, semicolons or tabs): a first line "node,ATTRIBUTE,…", then a node a line; an empty field says nothing. Else NODE: ATTRIBUTE: VALUE a line, as by "nodeattrib all all".
Nodes that are there already get what the file says, and keep what it does not. An attribute that is not known is a mistake, but in what nodeattrib prints. Secrets that are shown as ******** are left out, and counted.`,
    )
    .action(async (file: string, { state }: StateFlags) => {
      const { parseNodes } = await import('../collective/node-import.ts');
      const { nodes, leftOut, isConfluents } = parseNodes(await readInput(file), file);
      await using site = await openSite(state);
      const added = await site.nodes.setEach(nodes, !isConfluents);
      for (const subject of added)
        await site.store.audit({ subject, event: 'node added', by: site.by, detail: 'imported' });
      await site.store.audit({ subject: 'nodes', event: 'imported', by: site.by, detail: String(nodes.size) });
      process.stdout.write(
        `${nodes.size} nodes, ${added.length} of them new${leftOut > 0 ? `; ${leftOut} secrets were not in the file: set them here` : ''}\n`,
      );
    });
}

/** A profile may be packed later. @returns a line when it is not there, else nothing. */
async function oddProfile(attributes: AttributeChanges, state: string): Promise<string> {
  const name = attributes['deployment.pendingprofile'];
  if (name === undefined || !profileName.test(name)) return '';
  const { Profiles } = await import('../collective/profiles.ts');
  const tree = rememberedMember(state)?.tree ?? defaultPlaces.tree;
  if (await new Profiles(tree).exists(name)) return '';
  return `tetherfs: ${tree}/public/os has no profile ${name} yet: who is to boot it waits until it has\n`;
}

function withPassword(command: Command): Command {
  return command
    .option('--root-password', "ask for root's password", false)
    .option('--root-password-file <file>', "root's password, or its crypt(3) text, as a line; - for standard input");
}

async function readWords(
  words: string[],
  { rootPassword, rootPasswordFile }: SetFlags,
  isForAll = false,
): Promise<{ names: string[]; attributes: AttributeChanges }> {
  const isAttribute = (word: string) => word.includes('=');
  const attributes: Record<string, string | undefined> = {};
  for (const word of words.filter(isAttribute)) {
    const equals = word.indexOf('=');
    const [name, value] = [word.slice(0, equals), word.slice(equals + 1)];
    if (isSecretAttribute(name))
      throw new UsageError(`${name}: everybody can read words of a command; give --root-password-file`);
    attributes[name] = value === '' ? undefined : value;
  }
  if (rootPassword || rootPasswordFile !== undefined) {
    const instead = 'give --root-password-file FILE, or - for standard input';
    const given =
      rootPasswordFile === undefined
        ? await askSecret("root's password", instead)
        : (await readInput(rootPasswordFile)).split('\n')[0];
    if (!given) throw new UsageError(`${rootPasswordFile}: there is no password in it`);
    attributes['crypted.rootpassword'] = /^\$\w+\$/.test(given) ? given : await encrypted(given);
  }
  const named = words.filter((word) => !isAttribute(word));
  if (isForAll && named.length > 0) throw new UsageError(`${named[0]}: with --default there are no nodes`);
  return { names: isForAll ? [] : expandNames(named), attributes };
}

/** crypt(3) by SHA-512. */
async function encrypted(password: string): Promise<string> {
  const { CryptTexts } = await import('../collective/crypt-text.ts');
  return new CryptTexts().make(password);
}
