/** os-release(5): what a system says of itself. */

/** @returns the value as a shell reads it; undefined when there is none. @param name `PRETTY_NAME`. */
export function osReleaseValue(text: string, name: string): string | undefined {
  const [, value] = new RegExp(`^${name}=(.+)$`, 'm').exec(text) ?? [];
  return (
    value
      ?.trim()
      .replace(/^(["'])(.*)\1$/, '$2')
      .replace(/\\(["$`\\])/g, '$1') || undefined
  );
}
