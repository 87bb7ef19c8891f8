import { describe, expect, it } from 'vitest';
import { readBootSettings } from '../../src/profile/index.ts';

const url = 'http://10.0.0.1/confluent-public/os/demo/rootimg.sfs';
const members = `tetherfs.members=${url}`;

describe('kernel arguments', () => {
  it('say all that there is to say', () => {
    const text = `BOOT_IMAGE=/x quiet tetherfs.members=${url},https://m2/r.sfs tetherfs.digest=sha256:00 tetherfs.ca-file=/etc/ca.pem confluent_imagemethod=untethered tetherfs.zram=2GiB,algorithm=zstd,limit=512MiB tetherfs.decryption=tetherfs tetherfs.insecure-key-file=/key\n`;
    expect(readBootSettings(text, undefined)).toEqual({
      members: [url, 'https://m2/r.sfs'],
      digest: 'sha256:00',
      caFile: '/etc/ca.pem',
      zram: { size: { bytes: 2 * 1024 ** 3 }, algorithm: 'zstd', limit: 512 * 1024 ** 2 },
      decryption: 'tetherfs',
      insecureKeyFile: '/key',
      imageMethod: { method: 'untethered', word: 'untethered' },
      init: undefined,
    });
  });

  it('need say no more than where the image is', () => {
    const secure = url.replace('http:', 'https:');
    expect(readBootSettings(`init=/opt/init tetherfs.members=${secure}`, undefined)).toEqual({
      members: [secure],
      digest: undefined,
      caFile: undefined,
      zram: { size: { share: 0.5 }, algorithm: undefined, limit: undefined },
      decryption: 'auto',
      insecureKeyFile: undefined,
      imageMethod: { method: 'tethered', word: 'tethered' },
      init: '/opt/init',
    });
  });

  it('take the place of the file; the last of a name counts', () => {
    const yaml = `members: [${url}, http://m2/r.sfs]\ndigest: sha256:11\nzram: 25%\nca-file:\n`;
    const settings = readBootSettings('tetherfs.zram=30% tetherfs.zram=40%', yaml);
    expect(settings).toMatchObject({
      members: [url, 'http://m2/r.sfs'],
      digest: 'sha256:11',
      zram: { size: { share: 0.4 } },
    });
  });
});

describe('who says what a node is to be', () => {
  it.each([
    ['tetherfs.api=discover', { members: 'discover', node: undefined, tpmPcrs: [] }],
    ['tetherfs.api=10.0.0.1', { members: ['10.0.0.1'], node: undefined, tpmPcrs: [] }],
    [
      'tetherfs.api=/etc/confluent/confluent.info',
      { members: { infoFile: '/etc/confluent/confluent.info' }, node: undefined, tpmPcrs: [] },
    ],
    [
      'tetherfs.api=discover tetherfs.node=n1 tetherfs.tpm.pcrs=7,11',
      { members: 'discover', node: 'n1', tpmPcrs: [7, 11] },
    ],
    [
      'tetherfs.api=10.0.0.1,[fe80::1%eth0] tetherfs.node=n1',
      { members: ['10.0.0.1', 'fe80::1%eth0'], node: 'n1', tpmPcrs: [] },
    ],
  ])('%s', (commandLine, api) => {
    expect(readBootSettings(commandLine, undefined)).toMatchObject({ api, members: [], digest: undefined });
  });

  it('nobody, unless it is said', () => {
    expect(readBootSettings(`${members} tetherfs.digest=sha256:11`, undefined).api).toBeUndefined();
  });
});

describe('what makes no sense is said in one line', () => {
  const cases: readonly (readonly [string, string | undefined, string])[] = [
    ['quiet', undefined, 'where is the image? Give its URL on each member: tetherfs.members='],
    ['tetherfs.members=', undefined, 'where is the image?'],
    ['tetherfs.members=10.0.0.1', undefined, 'tetherfs.members=: 10.0.0.1 is no http:// or https:// URL'],
    [
      `${members} tetherfs.digets=sha256:00`,
      undefined,
      'tetherfs.digets=: no such setting; there are tetherfs.members, ',
    ],
    [`${members} tetherfs.zram`, undefined, 'tetherfs.zram=: "" is not a size'],
    [`${members} tetherfs.zram=0%`, undefined, 'tetherfs.zram=0%: give 1% to 400%'],
    [`${members} tetherfs.zram=50%,zstd`, undefined, 'tetherfs.zram=: "zstd" is neither algorithm=NAME nor limit=SIZE'],
    [`${members} tetherfs.zram=50%,algorithm=../x`, undefined, 'algorithm=../x is no name of the kernel'],
    [`${members} tetherfs.decryption=no`, undefined, 'tetherfs.decryption=: say one of auto, dm-crypt, tetherfs'],
    [`${members} confluent_imagemethod=tetherd`, undefined, 'confluent_imagemethod="tetherd": say one of'],
    [
      `${members} tetherfs.api=https://m tetherfs.insecure-key-file=/key`,
      undefined,
      'tetherfs.insecure-key-file= is refused where tetherfs.api=',
    ],
    [
      'tetherfs.api=https://m tetherfs.node=n1',
      undefined,
      'tetherfs.api=: https://m is no address; give discover, addresses',
    ],
    [
      'tetherfs.api=discover tetherfs.tpm.pcrs=7,24',
      undefined,
      'tetherfs.tpm.pcrs=: 24 is no PCR; give numbers from 0 to 23',
    ],
    ['tetherfs.node=n1', undefined, 'tetherfs.node=n1: say tetherfs.api=discover too'],
    [members, '- a list', '/etc/tetherfs/boot.yaml: it must be a map'],
    [members, 'a: [', '/etc/tetherfs/boot.yaml: '],
    [members, 'zrm: 1', '/etc/tetherfs/boot.yaml: zrm: no such setting'],
    [members, 'decryption: no', '/etc/tetherfs/boot.yaml: decryption: say one of auto'],
    [members, 'zram: {size: 1}', '/etc/tetherfs/boot.yaml: zram: give a text, or a list of them'],
    [members, undefined, `${url}: bytes over http:// need tetherfs.digest=sha256:… to be trusted`],
    [`${members} tetherfs.zram=50%,limit=4K`, undefined, 'tetherfs.zram=: limit=4K: give 64MiB at least'],
    ['tetherfs.members=ftp://u:secret@m/i', undefined, 'tetherfs.members=: ftp://m/i is no http:// or https:// URL'],
  ];
  for (const [commandLine, yaml, words] of cases) {
    it(`${commandLine} ${yaml ?? ''}`, () => {
      expect(() => readBootSettings(commandLine, yaml)).toThrow(words);
      expect(() => readBootSettings(commandLine, yaml)).toThrow(/^.+$/);
    });
  }
});
