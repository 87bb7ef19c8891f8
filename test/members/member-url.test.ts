import { describe, expect, test } from 'vitest';
import { parseMemberUrl } from '../../src/members/index.ts';

describe('parts of a member URL', () => {
  test('a name', () => {
    expect(parseMemberUrl('https://images.example/confluent-public/os/el9/rootimg.sfs?x=1')).toEqual({
      text: 'https://images.example/confluent-public/os/el9/rootimg.sfs?x=1',
      secure: true,
      hostname: 'images.example',
      port: 443,
      address: undefined,
      hostHeader: 'images.example',
      path: '/confluent-public/os/el9/rootimg.sfs',
      query: '?x=1',
      fileName: 'rootimg.sfs',
    });
  });

  test.each([
    ['http://10.0.0.1:8080/i', '10.0.0.1', '10.0.0.1:8080'],
    ['http://[2001:db8::1]/i', '2001:db8::1', '[2001:db8::1]'],
    ['http://[fe80::1%eth0]:81/i', 'fe80::1%eth0', '[fe80::1]:81'],
    ['http://[fe80::1%25eth0]/i', 'fe80::1%eth0', '[fe80::1]'],
    ['http://[fe80::1%3]/i', 'fe80::1%3', '[fe80::1]'],
    ['http://[fe80::1%25]/i', 'fe80::1%25', '[fe80::1]'],
  ])('%s is connected to at %s with Host %s', (text, address, hostHeader) => {
    const url = parseMemberUrl(text);
    expect(url).toMatchObject({ address, hostHeader });
    expect(url.hostname).toBe(address.replace(/%.*/, ''));
  });

  test('the file name is decoded', () => {
    expect(parseMemberUrl('http://a/os/my%20image.sfs').fileName).toBe('my image.sfs');
  });
});

test.each([
  'rootimg.sfs',
  'ftp://a/rootimg.sfs',
  'http://a/',
  'http://a',
  'http://a/os/..%2f',
  'http://a/%ff',
  'http://user:secret@a/rootimg.sfs',
  'http://[fe80::1%eth0/rootimg.sfs',
])('%s is refused, and no password is shown', (text) => {
  expect(() => parseMemberUrl(text)).toThrowError(expect.objectContaining({ code: 'USAGE', exitStatus: 2 }));
  expect(() => parseMemberUrl(text)).not.toThrowError(/secret/);
});
