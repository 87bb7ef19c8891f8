/**
 * Accounts of the site in a node's own files: passwd(5), group(5), and the shadow of each. As confluent has it: the people (and their groups) are those of the site, and nobody else's; the system's own
 * accounts stay the image's.
 */

export interface AccountFiles {
  /** passwd or group. */
  accounts: string;
  /** shadow or gshadow. */
  shadow: string;
}

/** Numbers of people: login.defs(5). */
export interface Range {
  least: number;
  most: number;
}

/** Lines of a shadow file for whom nobody can log in by a password. */
const lockedLines = { passwd: (name: string) => `${name}:!:::::::`, group: (name: string) => `${name}:!::` };

/** @param kind which of them. @param given the site's passwd or group. */
export function mergeAccounts(
  kind: 'passwd' | 'group',
  { accounts, shadow }: AccountFiles,
  given: string,
  range: Range,
): AccountFiles {
  const ofPeople = (line: string) => {
    const number = Number(line.split(':')[2] || Number.NaN);
    return number >= range.least && number <= range.most;
  };
  const own = linesOf(accounts);
  const removed = new Set(own.filter(ofPeople).map(nameOf));
  const kept = own.filter((line) => !ofPeople(line));
  const keptNames = new Set(kept.map(nameOf));
  // Lines that name whole services ("+@group") are for whoever reads them; a person of a system account's name would take its place.
  const added = linesOf(given).filter(
    (line) => (/^[+@-]/.test(line) || ofPeople(line)) && !keptNames.has(nameOf(line)),
  );
  const shadows = linesOf(shadow).filter((line) => !removed.has(nameOf(line)));
  const shadowed = new Set(shadows.map(nameOf));
  const newShadows = added.map(nameOf).filter((name) => !/^[+@-]/.test(name) && !shadowed.has(name));
  return {
    accounts: textOf([...kept, ...added.map(withShadow)]),
    shadow: textOf([...shadows, ...newShadows.map(lockedLines[kind])]),
  };
}

/** @param defs text of login.defs. */
export function rangeOf(defs: string, kind: 'passwd' | 'group'): Range {
  const name = kind === 'passwd' ? 'UID' : 'GID';
  const settings = new Map(
    defs.split('\n').map((line) => line.replace(/#.*/, '').trim().split(/\s+/) as [string, string]),
  );
  const number = (what: string, usual: number) => Number(settings.get(`${name}_${what}`) ?? usual);
  return { least: number('MIN', 1000), most: number('MAX', 60_000) };
}

/** passwd(5), group(5): an empty password is none to be asked for, and one that stands there is for everybody to read. */
function withShadow(line: string): string {
  return /^[+@-]/.test(line) ? line : line.replace(/^([^:]*):[^:]*/, '$1:x');
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function nameOf(line: string): string {
  return line.split(':', 1)[0] ?? '';
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
