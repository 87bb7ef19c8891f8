import { describe, expect, test } from 'vitest';
import { fileBeside, isFileUrl, parseFileUrl } from '../../src/base/file-url.ts';

describe('the file', () => {
  test.each([
    ['https://h/confluent-public/os/demo/rootimg.sfs?x=/y', 'rootimg.sfs'],
    ['http://h/os/my%20image.sfs', 'my%20image.sfs'],
    ['http://h/os/a%2Fb', 'a%2Fb'],
    ['http://h/os/%ff', '%ff'],
    ['http://h/os/wurzel-ü.sfs', 'wurzel-ü.sfs'],
  ])('of %s is called %s, as it is written there', (url, name) => {
    expect(parseFileUrl(url).fileName).toBe(name);
  });

  test('beside another has its query, too', () => {
    const beside = fileBeside(parseFileUrl('http://h/a/rootimg.sfs?key=1'), '.fsverity');
    expect(beside).toMatchObject({ given: 'http://h/a/rootimg.sfs.fsverity?key=1', fileName: 'rootimg.sfs.fsverity' });
    expect([beside.text, beside.url.href]).toEqual(['http://h/a/rootimg.sfs.fsverity', beside.given]);
  });
});

// As in https://github.com/astral-sh/uv/pull/19146.
test('what may be a secret is not in the text that is shown', () => {
  const { given, text } = parseFileUrl('https://store/rootimg.sfs?X-Amz-Signature=secret');
  expect(text).toBe('https://store/rootimg.sfs');
  expect(given).toContain('secret');
});

describe('is refused', () => {
  test.each([
    'rootimg.sfs',
    'ftp://a/rootimg.sfs',
    'http://a/',
    'http://a',
    'http://a/os/..',
    'http://a/os/%2e%2E',
    'http://a/os/rootimg.sfs/.',
    `http://a/${'x'.repeat(256)}`,
    'http://[fe80::1%eth0/rootimg.sfs',
    // What `new URL()` makes good: https://github.com/nodejs/node/issues/12825, https://github.com/whatwg/url/issues/829.
    ' http://a/rootimg.sfs',
    'http://a/rootimg.sfs ',
    '\u00a0http://a/rootimg.sfs',
    'ht\ttp://a/rootimg.sfs',
    'http://a/root\nimg.sfs',
    '\u0001http://a/rootimg.sfs',
    'http:a/rootimg.sfs',
    'http:/a/rootimg.sfs',
    'http:///a/rootimg.sfs',
    'http:\\\\a\\rootimg.sfs',
    'http://a\\@b/rootimg.sfs',
  ])('%j', (text) => {
    expect(() => parseFileUrl(text)).toThrowError(expect.objectContaining({ code: 'USAGE', exitStatus: 2 }));
  });

  test.each(['http://user:secret@a/rootimg.sfs', 'http://a b/rootimg.sfs?secret', 'http://a/?secret'])(
    '%s, on one line that shows no secret',
    (text) => {
      expect(() => parseFileUrl(text)).toThrowError(/^[ -~]+$/);
      expect(() => parseFileUrl(text)).not.toThrowError(/secret/);
    },
  );
});

test('a word is a URL or a path, never something in between', () => {
  const urls = ['http://a/b', 'HTTPS://a/b', ' http://a/b', 'ht\ttp://a/b', 'http:b'];
  expect(urls.filter(isFileUrl)).toEqual(urls);
  expect(['./http:b', '/srv/http:b', 'httpd/rootimg.sfs', 'rootimg.sfs'].filter(isFileUrl)).toEqual([]);
});
