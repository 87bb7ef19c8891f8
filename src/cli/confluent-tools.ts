/** `copernicus` and `clortho`: what confluent's initramfs calls before it has a root, by the arguments, output and exit statuses of its own programs. */
import { openSync, readSync } from 'node:fs';
import { Command } from 'commander';
import { TetherfsError } from '../base/errors.ts';

/** Always 0: who is not found says nothing, and the caller asks again. */
export function copernicusCommand(): Command {
  return new Command('copernicus')
    .description('drop-in for confluent’s copernicus: who am I, and who are my members')
    .option('-t', 'have the clock be what a member says, where it is years behind', false)
    .action(async ({ t: setsClock }: { t: boolean }) => {
      const { discoverMembers } = await import('../node/discovery.ts');
      const { readTrust } = await import('../node/trust.ts');
      const { correctClock } = await import('../node/clock.ts');
      const { numberZone } = await import('../node/devices.ts');
      const { formatAnswers } = await import('../protocol/confluent-info.ts');
      const found = await discoverMembers(readTrust().uuid);
      const [first] = found;
      if (setsClock && first !== undefined)
        await correctClock(first.time, { say: (line) => void process.stderr.write(`${line}\n`) });
      process.stdout.write(formatAnswers(found.map((answer) => ({ ...answer, address: numberZone(answer.address) }))));
    });
}

/** Of a file with a token, in bytes: upstream's program takes as many, and a line's end with them, by which no token is right. */
const tokenBytes = 64;

export function clorthoCommand(): Command {
  return new Command('clortho')
    .description('drop-in for confluent’s clortho: a new key for this node')
    .argument('<node>', 'its name')
    .argument('<member>', 'address (with a zone) or name of the member to ask')
    .argument('[token-file]', 'proves who it is: the first 64 bytes of it')
    .action(async (node: string, member: string, tokenFile: string | undefined) => {
      const { nameZone } = await import('../node/devices.ts');
      const { askForGrant } = await import('../node/grant-client.ts');
      const { makeNodeKey } = await import('../node/node-key.ts');
      const token = tokenFile === undefined ? undefined : readToken(tokenFile);
      const { key, hash } = await makeNodeKey();
      const outcome = await askForGrant({ address: nameZone(member), node, hash, token });
      if (outcome.kind === 'granted') process.stdout.write(`${key}\n`);
      else if (outcome.kind === 'denied')
        throw new TetherfsError(
          'NO_KEY',
          `${member} gives ${node} no key: is it armed (deployment.apiarmed=once), on a network that is trusted?`,
        );
      else {
        const why = outcome.kind === 'lost' ? 'its answer was lost; ask again' : outcome.why;
        throw new TetherfsError('UNREACHABLE', `${member} cannot be asked for a key: ${why}`);
      }
    });
}

function readToken(path: string): Buffer {
  const file = openSync(path, 'r');
  const token = Buffer.alloc(tokenBytes);
  const text = token.subarray(0, readSync(file, token, 0, tokenBytes, 0)).toString('latin1');
  return Buffer.from(text.trimEnd(), 'latin1');
}
