/** `tetherfs collective` in a node's runtime, which has no member: what serves has no place in an initramfs (package.json: imports; scripts/build-runtime). */
import { Command } from 'commander';
import { TetherfsError } from '../base/errors.ts';

export function collectiveCommand(): Command {
  return new Command('collective')
    .description('a member of the site: not in this runtime, run it from a checkout')
    .argument('[words...]')
    .allowUnknownOption()
    .action(() => {
      throw new TetherfsError(
        'NO_MEMBER_HERE',
        "a node's runtime has no member: run tetherfs collective from a checkout",
      );
    });
}
