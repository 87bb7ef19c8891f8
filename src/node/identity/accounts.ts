/** What a node changes in its files of accounts: passwd(5), group(5), shadow(5). */

const root = 'root';
/** As crypt(3) makes them. */
const cryptText = /^[!-9;-~]+$/;

/** Whether it can be a password's field; an empty one would let everybody in. */
export function isCryptText(text: string): boolean {
  return cryptText.test(text);
}

/** @param hash crypt(3) text. */
export function withRootPassword(shadow: string, hash: string): string {
  const lines = shadow.split('\n');
  const index = lines.findIndex((line) => line.split(':')[0] === root);
  if (index < 0) return [`${root}:${hash}:::::::`, ...lines].join('\n');
  const [, , ...rest] = (lines[index] ?? '').split(':');
  return lines.with(index, [root, hash, ...rest].join(':')).join('\n');
}

/** Of root, by the image's passwd. */
export function homeOfRoot(passwd: string | undefined): string {
  const home = fieldsOf(passwd, root)?.[5];
  return home?.startsWith('/') === true ? home : '/root';
}

/** Number of a group; undefined when there is none of that name. */
export function groupNamed(group: string | undefined, name: string): number | undefined {
  const number = fieldsOf(group, name)?.[2];
  return number !== undefined && /^\d+$/.test(number) ? Number(number) : undefined;
}

function fieldsOf(text: string | undefined, name: string): string[] | undefined {
  return text
    ?.split('\n')
    .map((line) => line.split(':'))
    .find(([first]) => first === name);
}
