import { describe, expect, it } from 'vitest';
import { controlPathOf } from '../../src/mount/control-path.ts';

describe('the control socket of a mount', () => {
  it.each([
    ['/mnt/remoteimg', '/run/tetherfs/mnt-remoteimg.sock'],
    ['/', '/run/tetherfs/-.sock'],
    ['/a b/c-d/', '/run/tetherfs/a\\x20b-c\\x2dd.sock'],
    ['/ä', '/run/tetherfs/\\xc3\\xa4.sock'],
  ])('of %s is %s', (mountpoint, path) => {
    expect(controlPathOf(mountpoint)).toBe(path);
  });

  it('is of its own, whatever signs are in the path', () => {
    expect(controlPathOf('/mnt/a-b')).not.toBe(controlPathOf('/mnt/a/b'));
  });

  it('has a name that a socket can have, and of its own, however long the path is', () => {
    const long = (length: number, end = '') => `/${'a'.repeat(length)}${end}`;
    const mountpoints = Array.from({ length: 200 }, (_, length) => long(length + 1));
    mountpoints.push(long(300, 'x'), long(300, 'y'), `/${'-'.repeat(60)}`, `/${'-'.repeat(61)}`, `/${'ä/'.repeat(99)}`);
    const paths = mountpoints.map(controlPathOf);
    expect(Math.max(...paths.map((path) => Buffer.byteLength(path)))).toBe(107);
    expect(new Set(paths).size).toBe(mountpoints.length);
    expect(paths[87]).toBe(`/run/tetherfs/${'a'.repeat(88)}.sock`);
    expect(paths[88]).toMatch(/^\/run\/tetherfs\/a{71}~[0-9a-f]{16}\.sock$/);
  });
});
