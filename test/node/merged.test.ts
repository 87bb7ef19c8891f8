/** What of the site's accounts and hosts comes into a node's own files. */
import { expect, it } from 'vitest';
import { mergeAccounts, rangeOf } from '../../src/node/onboot/merged-accounts.ts';
import { mergeHosts } from '../../src/node/onboot/merged-hosts.ts';

const range = { least: 1000, most: 60_000 };
const merge = (accounts: string, shadow: string, given: string) =>
  mergeAccounts('passwd', { accounts, shadow }, given, range);

it('people are those of the site; the system’s own accounts stay, whatever the site says of them', () => {
  const own = 'root:x:0:0:::\nbob:x:1001:1001:::\nntp:x:110:110:::\n';
  const given = 'root::0:0:evil::\nann:x:1000:1000:::\nntp:x:1002:1002:::\nhigh:x:60001:1:::\n';
  expect(merge(own, 'root:$6$:::::::\nbob:$6$:::::::\nntp:*:::::::\n', given)).toEqual({
    accounts: 'root:x:0:0:::\nntp:x:110:110:::\nann:x:1000:1000:::\n',
    shadow: 'root:$6$:::::::\nntp:*:::::::\nann:!:::::::\n',
  });
});

it('lines for whole services are taken as they are, and nobody logs in by them', () => {
  expect(merge('root:x:0:0:::\n', 'root:*:::::::\n', '+@admins\n+:::::::\n# people\n')).toEqual({
    accounts: 'root:x:0:0:::\n+@admins\n+:::::::\n',
    shadow: 'root:*:::::::\n',
  });
});

it('lines that are none change nothing; twice is once', () => {
  const once = merge('root:x:0:0:::', '', 'broken\nann:x::1000:::\n\nann:x:1000:1000:::\n');
  expect(once).toEqual({ accounts: 'root:x:0:0:::\nann:x:1000:1000:::\n', shadow: 'ann:!:::::::\n' });
  expect(merge(once.accounts, once.shadow, 'ann:x:1000:1000:::\n')).toEqual(once);
});

it('groups have a shadow of another form', () => {
  const own = { accounts: 'root:x:0:\n', shadow: 'root:*::\n' };
  expect(mergeAccounts('group', own, 'ann:x:1000:bob\n', range)).toEqual({
    accounts: 'root:x:0:\nann:x:1000:bob\n',
    shadow: 'root:*::\nann:!::\n',
  });
});

it('who is one of the people, login.defs says', () => {
  const defs = '# UID_MIN 1\nUID_MIN\t\t 500 # since ever\nUID_MAX 600\nGID_MIN 700\n';
  expect(rangeOf(defs, 'passwd')).toEqual({ least: 500, most: 600 });
  expect(rangeOf(defs, 'group')).toEqual({ least: 700, most: 60_000 });
  expect(rangeOf('', 'passwd')).toEqual(range);
});

it('a host of the site takes the place of the node’s with its address or a name of its', () => {
  const own = '# of the image\n127.0.0.1 localhost\n10.0.0.5 n1 # me\n10.0.0.6 old\n10.0.0.7 also-n9\n\n';
  const given = '10.0.0.5 n1.example.org n1\n10.0.0.9 n9 also-n9 old\n10.0.0.1 member\n';
  const merged =
    '# of the image\n127.0.0.1 localhost\n10.0.0.5 n1.example.org n1\n10.0.0.9 n9 also-n9 old\n10.0.0.1 member\n';
  expect(mergeHosts(own, given)).toBe(merged);
  expect(mergeHosts(merged, given)).toBe(merged);
  expect(mergeHosts('', '10.0.0.1 member')).toBe('10.0.0.1 member\n');
  expect(mergeHosts(own, '')).toBe(`${own.trimEnd()}\n`);
});
