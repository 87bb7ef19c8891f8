import { expect, test } from 'vitest';
import { wrapText } from '../../src/base/text-table.ts';
import type { MemberLine, Status } from '../../src/mount/status.ts';
import { renderStatus } from '../../src/mount/status-text.ts';

function member(url: string, reason = ''): MemberLine {
  const counts = { sinceMs: 1, scoreMs: 1, throughput: 123_456_789, inFlight: 0, connections: 0, requests: 1e9 };
  return {
    ...{ ...counts, url, file: 'rootimg.sfs', state: reason === '' ? 'up' : 'corrupt', reason },
    ...{
      latencyP50Ms: 1234.56,
      latencyP99Ms: 9999.9,
      bytes: 2 ** 40,
      errors: { timeout: 12_345 },
      hedges: 1,
      hedgesWon: 1,
    },
  };
}

const status: Status = {
  ...{ version: '1.0.0', pid: 1, mountpoint: `/${'m'.repeat(100)}`, detached: true, uptimeMs: 1, onOutage: 'wait' },
  image: {
    file: 'rootimg.sfs',
    size: 2 ** 40,
    fileSize: 2 ** 40,
    digest: `sha256:${'a'.repeat(64)}`,
    encrypted: true,
    decrypting: false,
  },
  members: [
    member('http://10.0.0.1/confluent-public/os/demo/rootimg.sfs'),
    member(
      'https://a-very-long-name.of-a-member.example.com:8443/rootimg.sfs',
      `cannot connect: ${'reason '.repeat(30)}`,
    ),
    member('http://10.0.0.2/a/rootimg.sfs', 'x'.repeat(200)),
    member('http://10.0.0.2/b/rootimg.sfs'),
  ],
  collective: { outageMs: 123_456_789, bytesWasted: 1, demandInFlight: 1, prefetchInFlight: 1 },
  memory: {
    method: 'progressive',
    state: 'filling',
    bytes: 1,
    totalBytes: 2 ** 40,
    rate: 1e9,
    pause: 'members',
    passthrough: false,
    loopDevices: [],
  },
  trace: {
    recording: true,
    chunks: 1,
    source: `http://10.0.0.1/${'d'.repeat(90)}/rootimg.sfs.trace`,
    replayTotal: 1e6,
    replayed: 1e6,
  },
  cache: {
    ...{
      size: 2 ** 40,
      chunkSize: 65_536,
      slotsTotal: 1,
      slotsFree: 1,
      chunksPresent: 1,
      chunksInFlight: 1,
      chunksPublished: 1e9,
    },
    ...{ chunksRejected: 1e9, chunksEvicted: 1e9, chunksPrefetched: 1e9, chunksPrefetchedRead: 1e9 },
  },
  reads: {
    cached: 1e12,
    waited: 1e12,
    failed: 1e12,
    interrupted: 1e12,
    bytes: 1e12,
    waiting: 1e6,
    oldestWaitMs: 1e9,
    longestWaitMs: 1e9,
  },
  fuse: { transport: 'kernel', protocol: '7.40', maxReadBytes: 1, readAheadKiB: 1 },
  process: { residentBytes: 1 },
};

test('whatever it has to say fits 80 columns, but for the path of the mount', () => {
  const [path, ...lines] = renderStatus(status, { wide: false }).split('\n');
  expect(path).toBe(`${status.mountpoint}/rootimg.sfs`);
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  for (const name of ['10.0.0.1 ', '10.0.0.2 (3)', '10.0.0.2 (4)', '…']) expect(lines.join('\n')).toContain(name);
});

test('everything is there when that is asked for', () => {
  const text = renderStatus(status, { wide: true });
  for (const { url } of status.members) expect(text).toContain(url);
  expect(text).toContain(status.image.digest);
});

test('text is broken at blanks, and a word only where it must be', () => {
  expect(wrapText('one two three', 9, '  ')).toEqual(['  one two', '  three']);
  expect(wrapText('a 1234567890', 6, ' ')).toEqual([' a', ' 12345', ' 67890']);
});
