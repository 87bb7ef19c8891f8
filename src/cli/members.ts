/** `tetherfs members`: who they are, and changes under a running mount. */
import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { parseFileUrl } from '../base/file-url.ts';
import { renderTable } from '../base/text-table.ts';
import { memberUrl, notAskedYet, systemCas } from '../members/index.ts';
import { changeMembers, readStatus, reloadMembers } from '../mount/control-client.ts';
import { controlOf } from '../mount/control-path.ts';
import type { Status } from '../mount/status.ts';
import { insistOnUrls } from './mount-options.ts';

interface Flags {
  control?: string;
}

export function membersCommand(): Command {
  return new Command('members')
    .description('the members of a mount: list them, add and remove some while it runs')
    .addCommand(listCommand())
    .addCommand(addCommand())
    .addCommand(removeCommand())
    .addCommand(reloadCommand());
}

function listCommand(): Command {
  return subcommand('list', 'every member: its state, and why it is not used')
    .option('--json', 'print JSON: sizes in bytes, times in ms, rates in bytes a second', false)
    .action(async (mountpoint: string, flags: Flags & { json: boolean }) => {
      const { members } = await readStatus(controlOf(mountpoint, flags.control));
      process.stdout.write(flags.json ? `${JSON.stringify(members)}\n` : renderMembers(members));
    });
}

/** A line each. */
function renderMembers(members: Status['members']): string {
  return `${renderTable(
    ['member', 'state', 'why'],
    members.map(({ url, state, reason }) => [url, state, reason]),
  )}\n`;
}

function addCommand(): Command {
  return subcommand('add', 'use further members; readers notice nothing')
    .argument('<url...>', 'URL of the image on each')
    .addHelpText(
      'after',
      `
A new member is asked who it is, and used when it has shown the same image. It stays through crashes and takeovers of the daemon, not through an unmount.

Examples:
  tetherfs members add /mnt/remoteimg http://10.0.0.3/confluent-public/os/demo/rootimg.sfs

Exit status: 0 added (the table says whether it is of use), 1 not, 2 no URL.`,
    )
    .action(async (mountpoint: string, urls: string[], flags: Flags) => {
      insistOnUrls(urls, 'the MOUNTPOINT comes first');
      const files = urls.map(parseFileUrl);
      const control = controlOf(mountpoint, flags.control);
      const before = await readStatus(control);
      const isFirstSecure =
        files.some(({ secure }) => secure) && !before.members.some(({ url }) => /^https:/i.test(url));
      const { added } = await changeMembers(control, {
        add: urls,
        remove: [],
        addresses: await addressesOf(urls),
        ...(isFirstSecure && { ca: systemCas() }),
      });
      const members = await settled(control, added);
      process.stdout.write(renderMembers(members));
    });
}

function removeCommand(): Command {
  return subcommand('remove', 'use members no more; what is under way from them is asked of others')
    .argument('<url...>', 'as tetherfs members list shows them')
    .addHelpText('after', '\nExit status: 0 removed, 1 it is no member, or the last.')
    .action(async (mountpoint: string, urls: string[], flags: Flags) => {
      await changeMembers(controlOf(mountpoint, flags.control), { add: [], remove: urls });
    });
}

function reloadCommand(): Command {
  return subcommand('reload', 'read the file of --members-from again, as SIGHUP does').action(
    async (mountpoint: string, flags: Flags) => {
      const { added, removed } = await reloadMembers(controlOf(mountpoint, flags.control));
      for (const url of added) process.stdout.write(`added ${url}\n`);
      for (const url of removed) process.stdout.write(`removed ${url}\n`);
    },
  );
}

function subcommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<mountpoint>')
    .option('--control <socket>', 'ask the daemon at this control socket');
}

/** By the system's means, which a daemon below a root file system cannot use. What is not found the daemon looks for itself. */
async function addressesOf(urls: readonly string[]): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const url of urls) {
    const { address, hostname } = memberUrl(parseFileUrl(url));
    if (address !== undefined) continue;
    const answers = await lookup(hostname, { all: true }).catch(() => []);
    if (answers.length > 0) found[url] = answers.map((answer) => answer.address);
  }
  return found;
}

const patienceMs = 3_000;
const askMs = 50;

/** The members as soon as it is known of those added whether they are of use, or after a while. */
async function settled(control: string, added: readonly string[]): Promise<Status['members']> {
  for (let waited = 0; ; waited += askMs) {
    const { members } = await readStatus(control);
    const isOpen = members.some(({ url, reason }) => added.includes(url) && reason === notAskedYet);
    if (!isOpen || waited >= patienceMs) return members;
    await sleep(askMs);
  }
}
