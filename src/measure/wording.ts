/** Names and numbers as reports for people have them. */

const usualLongestName = 20;

/** Host and port of each URL, short, and different for each. */
export function shortNames(urls: readonly string[], longestName = usualLongestName): Map<string, string> {
  const hosts = urls.map((url) => url.replace(/^https?:\/\/([^/]*).*$/i, '$1'));
  return new Map(
    urls.map((url, index) => {
      const host = hosts[index] ?? url;
      const short = host.length <= longestName ? host : `${host.slice(0, longestName - 1)}…`;
      const isAlone = hosts.filter((other) => other === host).length === 1 && host === short;
      return [url, isAlone ? short : `${index + 1} ${short}`.slice(0, longestName)];
    }),
  );
}

/** Three digits, and no more than three behind the point. */
export function rounded(value: number): string {
  return value >= 1_000 ? String(Math.round(value)) : String(Number(Number(value.toPrecision(3)).toFixed(3)));
}

export function sizeName(bytes: number): string {
  return bytes < 1 << 20 ? `${bytes / 1_024} KiB` : `${bytes / (1 << 20)} MiB`;
}

export function amount(value: number, unit: 'ms' | 'bytes/s'): string {
  return unit === 'ms' ? `${rounded(value)} ms` : `${rounded(value / 1e6)} MB/s`;
}
