/** What is given to an option that may be said again: all of it, in order. For commander, as the parser of its argument. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
