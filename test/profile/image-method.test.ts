import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TetherfsError } from '../../src/base/errors.ts';
import { imageMethodOf, imageMethodOfCommandLine, imageMethodWords } from '../../src/profile/index.ts';

const words = [
  ['tethered', 'tethered'],
  ['untethered', 'untethered'],
  ['uncompressed', 'untethered'],
  ['progressive', 'progressive'],
] as const;
const choices = /say one of tethered, untethered, uncompressed, progressive$/;

describe('kernel command line', () => {
  test.each(words)('%s', (word, method) => {
    const line = `BOOT_IMAGE=/boot/kernel quiet confluent_imagemethod=${word} console=ttyS0,115200\n`;
    expect(imageMethodOfCommandLine(line)).toEqual({ method, word });
  });

  test('without one says nothing', () => {
    expect(
      imageMethodOfCommandLine('quiet ro xconfluent_imagemethod=untethered confluent_imagemethods=x'),
    ).toBeUndefined();
    expect(imageMethodOfCommandLine('')).toBeUndefined();
  });

  test('the last one counts, whatever the ones before it are', () => {
    const line = 'confluent_imagemethod=nonsense confluent_imagemethod=untethered confluent_imagemethod=tethered';
    expect(imageMethodOfCommandLine(line)?.word).toBe('tethered');
  });

  test.each([
    ['confluent_imagemethod="progressive"', 'progressive'],
    ['"confluent_imagemethod=progressive"', 'progressive'],
    ['dyndbg="file a +p; confluent_imagemethod=untethered"', undefined],
    ['dyndbg="file a +p" confluent_imagemethod=untethered', 'untethered'],
    ['confluent_imagemethod=untethered dyndbg="confluent_imagemethod=tethered never closed', 'untethered'],
  ])('quotes: %s', (line, word) => {
    expect(imageMethodOfCommandLine(line)?.word).toBe(word);
  });

  test.each([
    'confluent_imagemethod=',
    'confluent_imagemethod',
    'confluent_imagemethod=Tethered',
    'confluent_imagemethod=ram',
  ])('%s is refused with the choices and the place', (line) => {
    expect(() => imageMethodOfCommandLine(line)).toThrow(/^kernel command line: confluent_imagemethod="/);
    expect(() => imageMethodOfCommandLine(line)).toThrow(choices);
  });
});

/** As `osdeploy` and `imgutil pack` make them. */
const stock = `label: AlmaLinux 9.4 x86_64 (Diskless Boot)
ostype: linux
kernelargs: quiet # confluent_imagemethod=untethered|tethered # tethered is default when unspecified to save on memory
#installedargs: example # These arguments would be added to the installed system
`;

describe('profile.yaml', () => {
  test('a stock profile says nothing: what follows # is a comment', () => {
    expect(imageMethodOf(stock)).toBeUndefined();
  });

  test.each(words)('kernelargs with %s', (word, method) => {
    const profile = stock.replace('quiet', `quiet confluent_imagemethod=${word} console=ttyS0,115200n8`);
    expect(imageMethodOf(profile)).toEqual({ method, word });
  });

  test.each(words)('imagemethod: %s', (word, method) => {
    expect(imageMethodOf(`${stock}imagemethod: ${word}\n`)).toEqual({ method, word });
  });

  test.each([
    `kernelargs: "quiet confluent_imagemethod=untethered # no comment"`,
    `kernelargs: 'quiet dyndbg="file a +p" confluent_imagemethod=untethered'`,
    `kernelargs: >-\n  quiet\n  confluent_imagemethod=untethered\n`,
    `kernelargs: quiet\n  confluent_imagemethod=untethered`,
    `---\nkernelargs: &args confluent_imagemethod=untethered\ninstalledargs: *args\n...\n`,
    `base: &base\n  kernelargs: confluent_imagemethod=untethered\n<<: *base\n`,
    `kernelargs: quiet\nkernelargs: confluent_imagemethod=untethered`,
    `{"label": "demo", "kernelargs": "confluent_imagemethod=untethered"}`,
    `kernelargs: confluent_imagemethod=untethered\r\nlabel: with DOS line ends\r\n`,
    `kernelargs: confluent_imagemethod=untethered\nimagemethod: untethered`,
    `kernelargs:\nimagemethod: untethered`,
  ])('%j', (profile) => {
    expect(imageMethodOf(profile)?.word).toBe('untethered');
  });

  test.each([
    ['kernelargs: confluent_imagemethod=ram', /^p\.yaml: kernelargs: confluent_imagemethod="ram": say one of/],
    ['imagemethod: ram', /^p\.yaml: imagemethod: "ram": say one of/],
    ['imagemethod: ""', choices],
    ['imagemethod: [tethered]', /^p\.yaml: imagemethod must be text/],
    ['imagemethod: yes', /^p\.yaml: imagemethod must be text/],
    ['kernelargs: 3', /^p\.yaml: kernelargs must be text/],
    ['kernelargs: {quiet: 1}', /^p\.yaml: kernelargs must be text/],
    [
      'kernelargs: confluent_imagemethod=tethered\nimagemethod: progressive',
      /kernelargs say tethered, imagemethod says progressive/,
    ],
    ['kernelargs: confluent_imagemethod=uncompressed\nimagemethod: untethered', /remove one of them$/],
    ['', /is no profile/],
    ['- kernelargs', /is no profile/],
    ['just text', /is no profile/],
    ['kernelargs: "never closed', /is no YAML that can be read/],
    ['a: 1\n---\nb: 2', /is no YAML that can be read/],
    ['a: *nowhere', /is no YAML that can be read/],
    ['<html><head><title>Sign in</title></head></html>', /is no profile/],
  ])('%j is refused', (profile, message) => {
    const attempt = () => imageMethodOf(profile, 'p.yaml');
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(/^[^\n]+$/);
    expect(attempt).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test.each([
    ['a long one', `label: ${'x'.repeat(65_536)}`],
    [
      'many aliases',
      `a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n`,
    ],
    [
      'very many aliases',
      `${Array.from({ length: 80 }, (_, i) => `a${i}: &a${i} x\n`).join('')}z: [${Array.from({ length: 80 }, (_, i) => `*a${i},`.repeat(95)).join('')}]\nq: 1\n`.slice(
        0,
        65_000,
      ),
    ],
    ['a long name', `a: *${'n'.repeat(60_000)}`],
    ['deep nesting', '['.repeat(65_000)],
    ['deep maps', '{a: '.repeat(16_000)],
    ['an alias of itself in a merge', 'a: &a\n  <<: *a\n'.repeat(2)],
  ])('hostile: %s', (_, profile) => {
    try {
      imageMethodOf(profile);
    } catch (error) {
      expect(error).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/^[^\n]{1,300}$/) });
    }
  });

  test('tens of thousands of keys are read in time', () => {
    const keys = Array.from({ length: 8_000 }, (_, index) => `k${index}: `).join('\n');
    expect(imageMethodOf(`${keys}\nimagemethod: tethered`.slice(-65_536))?.word).toBe('tethered');
  });

  test('any text says a method, nothing, or is refused in one line', () => {
    const fragments = fc.constantFrom(
      'kernelargs',
      'imagemethod',
      ': ',
      '\n',
      '&a ',
      '*a',
      '- ',
      '"',
      "'",
      '#',
      '{',
      '[',
      '<<',
      '!!int ',
      '%YAML 1.1',
      '---',
      '? ',
    );
    const text = fc
      .array(fc.oneof(fragments, fc.constantFrom(...imageMethodWords), fc.string()))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (yaml) => {
        try {
          const said = imageMethodOf(yaml);
          return said === undefined || imageMethodWords.includes(said.word);
        } catch (error) {
          return error instanceof TetherfsError && /^\P{Cc}{1,300}$/u.test(error.message);
        }
      }),
    );
  });
});
