import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TraceError } from '../../src/image/errors.ts';
import { chunkIndex, ImageGeometry } from '../../src/image/geometry.ts';
import { formatTrace, largestTraceSize, parseTrace, traceChunks } from '../../src/image/trace.ts';

const digest = `sha256:${'1f'.repeat(32)}`;
const KiB = 1024;
const expected = { digest, imageSize: 1_000 * 64 * KiB - 7 };
const chunkSize = 64 * KiB;
const geometry = new ImageGeometry(expected.imageSize, chunkSize);
const format = (...chunks: number[]) => formatTrace({ ...expected, chunkSize, chunks: Uint32Array.from(chunks) });
const header = format();
const chunksIn = (text: string) => [...traceChunks(parseTrace(text, expected), geometry)];

test('runs of neighbours in the order of touch', () => {
  const text = format(0, 1, 2, 500, 7, 8, 999);
  expect(text).toBe(`tetherfs-trace 1
digest ${digest}
image-size 65535993
chunk-size 65536
0 3
500 1
7 2
999 1
`);
  expect(chunksIn(text)).toEqual([0, 1, 2, 500, 7, 8, 999]);
});

test('a trace of nothing is a trace', () => {
  expect(chunksIn(header)).toEqual([]);
});

test('what is formatted is parsed again, each chunk once', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(geometry.chunkCount - 1)), (chunks) => {
      expect(chunksIn(format(...chunks))).toEqual([...new Set(chunks)]);
    }),
  );
});

test('as bytes it is the same', () => {
  const bytes = Buffer.from(format(3, 1, 2));
  expect(parseTrace(bytes, expected)).toEqual(parseTrace(bytes.toString(), expected));
  expect(parseTrace(bytes)).toMatchObject({ ...expected, chunkSize });
});

test('in other chunks it names the same bytes, in order', () => {
  const sizes = fc.constantFrom(4, 16, 64, 256, 1_024).map((size) => size * KiB);
  fc.assert(
    fc.property(fc.array(fc.nat(62), { minLength: 1, maxLength: 20 }), sizes, sizes, (numbers, from, to) => {
      const other = new ImageGeometry(expected.imageSize, to);
      const runs = numbers.map((first) => ({ first: chunkIndex(first), count: 1 }));
      const chunks = traceChunks({ ...expected, chunkSize: from, runs }, other);
      expect(new Set(chunks).size).toBe(chunks.length);
      const touched = numbers.map((first) => Math.floor((first * from) / to));
      for (const chunk of touched) expect(chunks).toContain(chunk);
      expect(chunks[0]).toBe(touched[0]);
      expect(chunks.length).toBeLessThanOrEqual(new Set(numbers).size * Math.max(1, from / to));
      expect(Math.max(...chunks)).toBeLessThan(other.chunkCount);
    }),
  );
});

test('the last chunk is cut at the image’s end: no chunk beyond it', () => {
  const small = new ImageGeometry(5 * KiB, 4 * KiB);
  const runs = [{ first: chunkIndex(0), count: 1 }];
  const trace = { digest, imageSize: small.imageSize, chunkSize: 64 * KiB, runs };
  expect([...traceChunks(trace, small)]).toEqual([0, 1]);
});

test('a long trace is cut, and can still be parsed', () => {
  const size = 2 ** 40;
  const chunks = Uint32Array.from({ length: 200_000 }, (_, index) => index * 3);
  const text = formatTrace({ digest, imageSize: size, chunkSize, chunks });
  expect(text.length).toBeLessThanOrEqual(largestTraceSize);
  const { runs } = parseTrace(text, { digest, imageSize: size });
  expect(runs.length).toBeGreaterThan(90_000);
});

test('of one run over an immense image only the first million chunks are taken', () => {
  const imageSize = 2 ** 41;
  const text = formatTrace({ digest, imageSize, chunkSize, chunks: Uint32Array.of() });
  const trace = parseTrace(`${text}0 ${imageSize / chunkSize}\n`, { digest, imageSize });
  expect(traceChunks(trace, new ImageGeometry(imageSize, chunkSize))).toHaveLength(2 ** 20);
});

describe('refused, with the line that is wrong', () => {
  const lines = header.split('\n');
  const replaced = (line: number, text: string) => lines.with(line - 1, text).join('\n');

  test.each([
    ['an empty file', '', 1],
    ['another file', '<html>', 1],
    ['another version', replaced(1, 'tetherfs-trace 2'), 1],
    ['another image', replaced(2, `digest sha256:${'2f'.repeat(32)}`), 2],
    ['no digest', replaced(2, 'digest none'), 2],
    ['another size', replaced(3, 'image-size 65535994'), 3],
    ['no size', replaced(3, 'image-size 0'), 3],
    ['a chunk size that is no power of two', replaced(4, 'chunk-size 65537'), 4],
    ['tiny chunks', replaced(4, 'chunk-size 2048'), 4],
    ['huge chunks', replaced(4, 'chunk-size 2097152'), 4],
    ['a header only in part', lines.slice(0, 2).join('\n'), 3],
    ['DOS line ends', header.replaceAll('\n', '\r\n'), 1],
    ['a line cut off', `${header}0 1\n1 1`, 6],
    ['an empty line', `${header}0 1\n\n1 1\n`, 6],
    ['no count', `${header}5\n`, 5],
    ['a count of nothing', `${header}5 0\n`, 5],
    ['a negative number', `${header}-1 1\n`, 5],
    ['a number in another form', `${header}1e2 1\n`, 5],
    ['a number with zeros before it', `${header}01 1\n`, 5],
    ['a chunk beyond the image', `${header}0 1\n1000 1\n`, 6],
    ['a run beyond the image', `${header}999 2\n`, 5],
    ['a number beyond all numbers', `${header}${'9'.repeat(400)} 1\n`, 5],
    ['the whole image twice', `${header}0 1000\n0 1\n`, 6],
    ['more than a mebibyte', `${header}${'0 1\n'.repeat(1 << 18)}`, 1],
  ])('%s', (_, text, line) => {
    expect(() => parseTrace(text, expected)).toThrow(TraceError);
    expect(() => parseTrace(text, expected)).toThrow(new RegExp(`^trace, line ${line}: [^\n]{1,300}$`));
  });
});

test('any bytes are chunks within the image, or are refused', () => {
  const runs = fc.array(fc.tuple(fc.nat(1_200), fc.nat(40)), { maxLength: 40 });
  const lines = runs.map((pairs) => pairs.map((pair) => pair.join(' ')).join('\n'));
  const noise = fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1'));
  const file = fc.tuple(fc.constantFrom(header, ''), fc.oneof(lines, noise), fc.constantFrom('\n', ''), noise);
  fc.assert(
    fc.property(file, fc.boolean(), ([head, body, end, tail], withTail) => {
      const bytes = Buffer.from(head + body + end + (withTail ? tail : ''), 'latin1');
      try {
        const chunks = traceChunks(parseTrace(bytes, expected), geometry);
        return chunks.every((chunk) => chunk < geometry.chunkCount) && new Set(chunks).size === chunks.length;
      } catch (error) {
        return error instanceof TraceError;
      }
    }),
  );
});
