/** A line of an access log in the combined format, as nginx writes it. */

export interface LogLine {
  request: string;
  status?: number;
  /** Minutes east of Greenwich. */
  zone?: number;
}

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** @param time ms since 1970, whole seconds. */
export function logLine(time: number, { request, status = 206, zone = 0 }: LogLine): string {
  const local = new Date(time + zone * 60_000);
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${two(local.getUTCDate())}/${months[local.getUTCMonth()]}/${local.getUTCFullYear()}`;
  const clock = [local.getUTCHours(), local.getUTCMinutes(), local.getUTCSeconds()].map(two).join(':');
  const minutes = Math.abs(zone);
  const offset = `${zone < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`;
  return `10.0.0.7 - - [${date}:${clock} ${offset}] "${request}" ${status} 1 "-" "-"\n`;
}
