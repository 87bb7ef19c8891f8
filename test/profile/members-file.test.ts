import { expect, it } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { membersOfFile } from '../../src/profile/index.ts';

const like = parseFileUrl('https://mgr.example:8443/confluent-public/os/demo/rootimg.sfs?key=1');
const path = '/etc/confluent/confluent.info';
const membersOf = (text: string, known: typeof like | undefined = like) => membersOfFile(text, { path, like: known });

it("the addresses of confluent.info lie where the image of a known URL does; an answer's repetitions count once", () => {
  expect(
    membersOf(
      'NODENAME: n1\nMANAGER: 10.0.0.1\nMANAGER: fe80::1%3\nEXTMGRINFO: fe80::1%3|2|1\nEXTMGRINFO: 10.0.0.2||0\nMANAGER: mgr1.cluster\nMANAGER: 10.0.0.1\n',
    ),
  ).toEqual(
    ['10.0.0.1', '[fe80::1%253]', '10.0.0.2', 'mgr1.cluster'].map(
      (host) => `https://${host}:8443/confluent-public/os/demo/rootimg.sfs?key=1`,
    ),
  );
});

it('URLs are taken as they are, without comments and blank lines', () => {
  expect(membersOf('# ours\r\n http://10.0.0.1/i \r\n\r\nhttps://[fe80::1%25eth0]/i\n', undefined)).toEqual([
    'http://10.0.0.1/i',
    'https://[fe80::1%25eth0]/i',
  ]);
});

it.each([
  ['', 'names no member: write a URL a line'],
  ['NODENAME: n1\n', 'names no member'],
  ['http://10.0.0.1/i\n10.0.0.2\n', 'line 2: neither an http:// or https:// URL nor a line of confluent.info'],
  ['http://10.0.0.1/\n', 'line 1: http://10.0.0.1/: must end in a file name'],
  ['MANAGER: mgr/x\n', 'line 1: "mgr/x" is no address'],
  ['MANAGER: mgr%2\n', 'line 1: "mgr%2" is no address'],
  ['MANAGER: fe80::1%a/b\n', 'line 1: "fe80::1%a/b" is no address'],
])('%j is refused: %s', (text, why) => {
  expect(() => membersOf(text)).toThrow(why);
  expect(() => membersOf(text)).toThrow(path);
});

it('an address without a URL that says where the image lies is refused', () => {
  expect(() => membersOfFile('MANAGER: 10.0.0.1\n', { path, like: undefined })).toThrow(/line 1: it names an address/);
});
