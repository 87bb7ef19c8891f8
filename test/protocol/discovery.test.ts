import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { formatFound, formatSearch, parseFound, parseSearch } from '../../src/protocol/discovery.ts';

it('asks and is asked in the bytes that upstream has', () => {
  const names = [
    { kind: 'uuid' as const, value: '4c4c4544-0042-3010-8044-b4c04f4e4331' },
    { kind: 'mac' as const, value: '52:54:00:12:34:56' },
  ];
  const datagram = formatSearch({ confluentUuid: 'abc', names });
  expect(datagram.toString('latin1')).toBe(
    'M-SEARCH * HTTP/1.1\r\nST: urn:xcat.org:service:confluent:/confluentuuid=abc/uuid=4c4c4544-0042-3010-8044-b4c04f4e4331/mac=52:54:00:12:34:56',
  );
  expect(parseSearch(datagram)).toEqual({ confluentUuid: 'abc', names, all: false });
});

it('takes names in whatever case they are, and the question for all members', () => {
  const search = (rest: string) =>
    parseSearch(Buffer.from(`M-SEARCH * HTTP/1.1\r\nST: urn:xcat.org:service:confluent:${rest}`));
  expect(search('/MAC=AA/mac=AA:BB:CC:DD:EE:FF\r\nMX: 3')?.names).toEqual([
    { kind: 'mac', value: 'aa:bb:cc:dd:ee:ff' },
  ]);
  expect(search('/allconfluent=1')?.all).toBe(true);
  expect(search('')?.names).toEqual([]);
});

it('answers with the lines that upstream looks for', () => {
  const found = { node: 'n1', time: 1_764_489_601_042, interfaceIndex: 3, isDefault: true };
  expect(formatFound(found).toString()).toBe(
    'HTTP/1.1 200 OK\r\nNODENAME: n1\r\nCURRTIME: 1764489601\r\nCURRMSECS: 42\r\nMGTIFACE: 3\r\nDEFAULTNET: 1\r\n',
  );
  expect(parseFound(formatFound(found))).toEqual(found);
});

test('whatever comes as a datagram is a question, an answer, or nothing', () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 3_000 }),
    fc
      .string({ unit: 'binary', maxLength: 500 })
      .map((text) => Buffer.from(`M-SEARCH * HTTP/1.1\r\nST: urn:xcat.org:service:confluent:${text}`)),
    fc.string({ unit: 'binary', maxLength: 500 }).map((text) => Buffer.from(`HTTP/1.1 200 OK\r\n${text}`)),
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      const search = parseSearch(bytes);
      if (search !== undefined) expect(search.names.length).toBeLessThanOrEqual(64);
      const found = parseFound(bytes);
      if (found !== undefined) expect(Number.isFinite(found.time)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});
