import { expect, test } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { memberUrl } from '../../src/members/member-url.ts';

test('the parts of a URL', () => {
  const given = 'https://images.example/confluent-public/os/el9/rootimg.sfs?x=1';
  expect(memberUrl(parseFileUrl(given))).toEqual({
    given,
    text: 'https://images.example/confluent-public/os/el9/rootimg.sfs',
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
  const url = memberUrl(parseFileUrl(text));
  expect(url).toMatchObject({ address, hostHeader });
  expect(url.hostname).toBe(address.replace(/%.*/, ''));
});
