/** `tetherfs collective ca`: the authorities of the site. */
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { Argument, Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { unreadable } from '../base/given-file.ts';
import { renderTable } from '../base/text-table.ts';
import { openSite, print, type StateFlags, shownTime, stateCommand } from './collective-options.ts';

const kinds = ['tls', 'ssh'] as const;
type Kind = (typeof kinds)[number];

export function caCommand(): Command {
  return new Command('ca')
    .description('the authorities for TLS and for ssh host certificates')
    .addCommand(showCommand())
    .addCommand(exportCommand())
    .addCommand(rotateCommand())
    .addCommand(removeCommand())
    .addCommand(revokeCommand());
}

const words = {
  signs: 'signs',
  next: 'believed; signs when those before it are removed',
  believed: 'believed',
} as const;

function showCommand(): Command {
  return stateCommand('show')
    .description('all authorities: which signs, and which are believed still')
    .option('--json', 'print JSON', false)
    .action(async ({ state, json }: StateFlags & { json: boolean }) => {
      await using site = await openSite(state);
      const all = (
        await Promise.all(
          kinds.map(async (kind) => (await site.authorities.list(kind)).map((one) => ({ kind, ...one }))),
        )
      ).flat();
      print(json, all, () =>
        renderTable(
          ['kind', 'authority', 'since', 'state'],
          all.map(({ kind, id, made, state }) => [kind, id, shownTime(made), words[state]]),
        ),
      );
    });
}

function exportCommand(): Command {
  return stateCommand('export')
    .description('what people and programs have to believe: certificates in PEM, or lines for known_hosts')
    .addArgument(new Argument('<kind>').choices(kinds))
    .action(async (kind: Kind, { state }: StateFlags) => {
      await using site = await openSite(state);
      for (const { shown } of await site.authorities.list(kind)) {
        process.stdout.write(kind === 'tls' ? shown : `@cert-authority * ${shown.trim()}\n`);
      }
    });
}

function rotateCommand(): Command {
  return stateCommand('rotate')
    .description('a new authority: nodes that boot from now on believe it too; it signs when the old one is removed')
    .addArgument(new Argument('<kind>').choices(kinds))
    .addHelpText(
      'after',
      `
Nodes that run know the old one only, so that goes on signing. Once all have booted since (the member writes the site archive anew within seconds), "ca rm" takes the
old one away, and the new one signs.`,
    )
    .action(async (kind: Kind, { state }: StateFlags) => {
      // Before root is left.
      const { ensureSite } = await import('../collective/site.ts');
      await using site = await openSite(state);
      const id = await site.authorities.rotate(kind, (await ensureSite(site.store)).uuid);
      await site.store.audit({ subject: `${kind} authority`, event: 'rotated', by: site.by, detail: id });
      process.stdout.write(
        `${kind} authority ${id} is believed by nodes that boot from now on; when all have: tetherfs collective ca rm ${kind} OLD\n`,
      );
    });
}

function removeCommand(): Command {
  return stateCommand('rm')
    .description('an authority is believed no more by nodes that boot from then on; if it signed, the next one does')
    .addArgument(new Argument('<kind>').choices(kinds))
    .argument('<authority>', 'as "ca show" has it')
    .option('--anyway', 'also where nodes have not booted since the next one was made', false)
    .action(async (kind: Kind, id: string, { state, anyway }: StateFlags & { anyway: boolean }) => {
      const { insistOnBooted } = await import('../collective/authority-removal.ts');
      await using site = await openSite(state);
      if (!anyway) await insistOnBooted(site, kind, id);
      await site.authorities.remove(kind, id);
      await site.store.audit({ subject: `${kind} authority`, event: 'removed', by: site.by, detail: id });
    });
}

function revokeCommand(): Command {
  return stateCommand('revoke')
    .description('ssh host certificates that are worth nothing any more: writes the list (KRL) that ssh reads')
    .argument('<serial...>', 'of the certificates; "tetherfs collective audit" has them')
    .requiredOption('--output <file>', 'where the list goes: RevokedHostKeys of ssh_config')
    .action(async (words: string[], { state, output }: StateFlags & { output: string }) => {
      const serials = words.map((word) => {
        if (!/^\d{1,15}$/.test(word) || Number(word) === 0)
          throw new UsageError(`${word}: a serial is a number from 1 on`);
        return Number(word);
      });
      // Before root is left; what is there stays until there is a new one.
      const replace = openReplacement(output);
      await using site = await openSite(state);
      const revoked = await site.authorities.revoke(serials);
      const authorities = (await site.authorities.list('ssh')).map(({ shown }) => shown);
      const list = await site.ssh.revocationList(authorities, revoked, revoked.length);
      await site.store.audit({
        subject: 'ssh authority',
        event: 'revoked',
        by: site.by,
        detail: `serial ${serials.join(', ')}`,
      });
      replace(list);
    });
}

/** @returns what writes it, as root does who has opened it; nothing of what was there is lost before. @throws UsageError */
function openReplacement(path: string): (bytes: Uint8Array) => void {
  try {
    const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    return (bytes) => {
      ftruncateSync(file, 0);
      writeSync(file, bytes, 0, bytes.length, 0);
      closeSync(file);
    };
  } catch (cause) {
    throw unreadable(`--output ${path}`, cause, 'directory');
  }
}
