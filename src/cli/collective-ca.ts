/** `tetherfs collective ca`: the authorities of the site. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { Argument, Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { unreadable } from '../base/given-file.ts';
import { renderTable } from '../mount/text-table.ts';
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
          all.map(({ kind, id, made, retired, revoked }) => [
            kind,
            id,
            shownTime(made),
            retired === undefined
              ? `signs${revoked.length > 0 ? `; ${revoked.length} certificates revoked` : ''}`
              : `believed, retired ${shownTime(retired)}`,
          ]),
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
    .description(
      'a new authority signs from now on; nodes believe both, once they have booted with the new site archive',
    )
    .addArgument(new Argument('<kind>').choices(kinds))
    .addHelpText(
      'after',
      `
Nodes that run know the old one only: what is signed by the new one they believe after their next boot. So: rotate, "tetherfs collective site", boot all nodes, and then "ca rm"
takes the old one away, and "tetherfs collective site" again.`,
    )
    .action(async (kind: Kind, { state }: StateFlags) => {
      // Before root is left.
      const { ensureSite } = await import('../collective/site.ts');
      await using site = await openSite(state);
      const id = await site.authorities.rotate(kind, (await ensureSite(site.store)).uuid);
      await site.store.audit({ subject: `${kind} authority`, event: 'rotated', by: site.by, detail: id });
      process.stdout.write(`${kind} authority ${id} signs from now on; next: tetherfs collective site\n`);
    });
}

function removeCommand(): Command {
  return stateCommand('rm')
    .description('an old authority is believed no more, by nodes that boot from then on')
    .addArgument(new Argument('<kind>').choices(kinds))
    .argument('<authority>', 'as "ca show" has it')
    .action(async (kind: Kind, id: string, { state }: StateFlags) => {
      await using site = await openSite(state);
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
      // Before root is left.
      const file = openOutput(output);
      await using site = await openSite(state);
      await site.authorities.revoke(serials);
      const { revoked } = (await site.authorities.list('ssh')).find(({ retired }) => retired === undefined) ?? {
        revoked: [],
      };
      const list = await site.ssh.revocationList(await site.authorities.ssh(), revoked, revoked.length);
      await site.store.audit({
        subject: 'ssh authority',
        event: 'revoked',
        by: site.by,
        detail: `serial ${serials.join(', ')}`,
      });
      writeFileSync(file, list);
      closeSync(file);
    });
}

function openOutput(path: string): number {
  try {
    return openSync(path, 'w', 0o644);
  } catch (cause) {
    throw unreadable(`--output ${path}`, cause, 'directory');
  }
}
