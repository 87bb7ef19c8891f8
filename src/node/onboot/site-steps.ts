/** The site's own steps: programs in /etc/tetherfs/node.d of the image, or that a member has copied there. */
import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../base/errors.ts';

export const siteStepsDirectory = '/etc/tetherfs/node.d';
/** What editors and package managers leave, and what is for people. */
const passedOver = /^\.|~$|\.(?:bak|dpkg-\w+|rpm\w+|ucf-\w+)$|^README/;

/** In the order of their names. @param warn told of files that nobody can run. */
export async function listSiteSteps(warn: (line: string) => void): Promise<string[]> {
  const names = await readdir(siteStepsDirectory).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  const found: string[] = [];
  for (const name of names.filter((one) => !passedOver.test(one)).sort()) {
    const path = join(siteStepsDirectory, name);
    const status = await stat(path).catch(() => undefined);
    if (status?.isDirectory() === true) continue;
    const isProgram = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isProgram) found.push(path);
    else warn(`${path} is passed over: it is not executable (chmod +x)`);
  }
  return found;
}
