/** Random 4 KiB reads by fio, past the page cache. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as z from 'zod';

const report = z.object({ jobs: z.array(z.object({ read: z.object({ iops: z.number() }) })).min(1) });

/** Reads a second, with `depth` readers at once, each one read at a time. @throws Error with fio's words. */
export async function randomReadRate(file: string, depth: number, seconds: number): Promise<number> {
  const { stdout } = await promisify(execFile)('fio', [
    ...['--name=random', `--filename=${file}`, '--readonly', '--rw=randread', '--bs=4k', '--direct=1'],
    ...['--ioengine=psync', '--thread', `--numjobs=${depth}`, '--group_reporting', '--time_based'],
    ...[`--runtime=${seconds}`, '--output-format=json'],
  ]);
  return report.parse(JSON.parse(stdout)).jobs[0]?.read.iops ?? 0;
}
