/** What a machine's console says, for whoever watches a demo. */

/** Whole lines, marked. */
export function consoleLines(): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      // Commands that are run on it are not for people.
      if (!/^<\d+:\d+>$/.test(line)) console.log(`node| ${line.replace(/\p{Cc}(\[[0-9;?]*[A-Za-z])?/gu, '')}`);
    }
  };
}
