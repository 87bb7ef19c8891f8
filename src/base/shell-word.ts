/** For a shell, and for rsync's own way of taking --rsh apart: one word that is what it says. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
