import { describe, expect, it } from 'vitest';
import { parseListenAddress } from '../../src/base/listen-address.ts';
import { formatSize, parseSize } from '../../src/base/size.ts';

describe('sizes', () => {
  it.each([
    ['64MiB', 67108864],
    ['64M', 67108864],
    ['1.5GiB', 1610612736],
    ['4096', 4096],
  ])('%s is %i bytes', (text, bytes) => expect(parseSize(text, '--cache-size')).toBe(bytes));

  it.each(['', 'much', '-1', '64MB', '1e9', 'GiB'])('"%s" is refused with the option named', (text) => {
    expect(() => parseSize(text, '--cache-size')).toThrow(/--cache-size: .* is not a size/);
  });

  it('are shown with one decimal and binary units', () => {
    expect([formatSize(512), formatSize(1536), formatSize(5 * 1024 ** 3)]).toEqual(['512 B', '1.5 KiB', '5.0 GiB']);
  });
});

describe('listen addresses', () => {
  it('are host and port, IPv6 in brackets, or a socket path', () => {
    expect(parseListenAddress('127.0.0.1:9464', '--metrics')).toEqual({ host: '127.0.0.1', port: 9464 });
    expect(parseListenAddress('[::1]:9464', '--metrics')).toEqual({ host: '::1', port: 9464 });
    expect(parseListenAddress('unix:/run/t.sock', '--metrics')).toEqual({ path: '/run/t.sock' });
  });

  it.each(['9464', 'localhost', ':9464', '::1:9464', '1.2.3.4:99999', 'unix:relative'])('%s is refused', (text) => {
    expect(() => parseListenAddress(text, '--metrics')).toThrow(/--metrics/);
  });
});
