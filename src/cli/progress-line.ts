/** One line of progress on a terminal, redrawn in place; nothing where standard error is no terminal. */
export interface ProgressLine {
  update(done: number, total: number): void;
  /** Takes the line away. */
  clear(): void;
}

export function progressLine(label: string, stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  let shown = '';
  return {
    update(done, total) {
      const line = `${label} ${Math.floor((done / total) * 100)} %`;
      if (!stream.isTTY || line === shown) return;
      stream.write(`\r${line}`);
      shown = line;
    },
    clear() {
      if (shown !== '') stream.write('\r\x1b[K');
      shown = '';
    },
  };
}
