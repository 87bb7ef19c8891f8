import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatKeyFile, parseKeyFile } from '../../src/image/key-file.ts';

const digits = '00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210';
const parse = (text: string) => parseKeyFile(Buffer.from(text, 'latin1'), '/etc/the.key');

describe('a key file', () => {
  test('is the cipher and the key, a line each', () => {
    const key = Buffer.from(digits, 'hex');
    expect(Buffer.from(formatKeyFile(key)).toString()).toBe(`aes-xts-plain64\n${digits}\n`);
    expect(Buffer.from(parse(`aes-xts-plain64\n${digits}\n`))).toEqual(key);
  });

  test.each([
    ['without a newline at its end', `aes-xts-plain64\n${digits}`],
    ['with capital digits', `aes-xts-plain64\n${digits.toUpperCase()}\n`],
    ['with carriage returns', `aes-xts-plain64\r\n${digits}\r\n`],
    ['with empty lines at its end', `aes-xts-plain64\n${digits}\n\n\n`],
  ])('%s is read all the same', (_how, text) => {
    expect(Buffer.from(parse(text)).toString('hex')).toBe(digits);
  });

  test('of 64 bytes (AES-256-XTS) is read', () => {
    expect(parse(`aes-xts-plain64\n${digits}${digits}\n`)).toHaveLength(64);
  });

  test('that was written is read back, whatever the key', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
        expect(parseKeyFile(formatKeyFile(key), 'a.key')).toEqual(key);
      }),
    );
  });

  test.each([
    ['', /^\/etc\/the\.key: the first line/],
    [`aes-cbc-essiv:sha256\n${digits}`, /^\/etc\/the\.key: the first line/],
    [digits, /^\/etc\/the\.key: the first line/],
    ['aes-xts-plain64', /the key, is missing/],
    ['aes-xts-plain64\n\n', /the key, is missing/],
    [`aes-xts-plain64\n${digits}\n${digits}`, /more than the two lines/],
    [`aes-xts-plain64\n${digits.slice(1)}`, /63 digits; 64 or 128/],
    [`aes-xts-plain64\n${digits}${digits.slice(2)}`, /126 digits/],
    [`aes-xts-plain64\n${digits.replace('a', 'x')}`, /not hexadecimal/],
    [`aes-xts-plain64\n${' '.repeat(5000)}`, /5016 bytes/],
  ])('is refused when it is %j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'KEY_FILE' }));
  });

  test('never lends its content to an error, whatever it holds', () => {
    const firstLine = fc.constantFrom('aes-xts-plain64\n', '', 'x\n');
    const secret = fc.oneof(fc.stringMatching(/^[g-z]{9,200}$/), fc.stringMatching(/^[0-9a-f]{20,60}$/));
    fc.assert(
      fc.property(firstLine, secret, (first, text) => {
        try {
          parse(first + text);
          expect.unreachable();
        } catch (error) {
          expect(inspect(error, { showHidden: true })).not.toContain(text.slice(0, 9));
        }
      }),
    );
  });
});
