/** A node's key in its TPM: a real swtpm, real members; and tpm2-tools alone, as confluent's nodes call them, seal and unseal the same keys. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MemberServer } from '../support/member.ts';
import { SoftwareTpm } from '../support/swtpm.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { memberAddress, Neighbours, netns, otherMember } from './neighbours.ts';

interface Enrolled {
  key: string;
  said: string[];
  lacks: string[];
}

let neighbours: Neighbours;
let member: MemberServer;
let tpm: SoftwareTpm;
beforeAll(async () => {
  neighbours = await Neighbours.make('--listen', memberAddress, '--listen', '127.0.0.1', '--no-discovery');
  ({ member } = neighbours);
});
afterAll(() => neighbours?.[Symbol.asyncDispose]());
beforeEach(async () => {
  tpm = await SoftwareTpm.start(netns);
  return () => tpm[Symbol.asyncDispose]();
});

const enrol = (words: object = {}) =>
  neighbours.asNode<Enrolled>('enrol', { members: [memberAddress], ...words }, { env: tpm.environment });

/** The node is armed for this boot. */
async function armed(words: object = {}): Promise<Enrolled> {
  await member.cli('node', 'arm', 'n1', 'once');
  return enrol(words);
}

/** Waits in vain until it is armed. */
async function armedLate(): Promise<Enrolled> {
  const refusals = async () => (await member.cli('audit', 'n1')).match(/key refused/g)?.length ?? 0;
  const before = await refusals();
  const enrolling = enrol();
  await waitUntil('it waits for a grant', async () => (await refusals()) > before, { timeoutMs: 30_000 });
  await member.cli('node', 'arm', 'n1', 'once');
  return enrolling;
}

const handles = async () => (await tpm.tool('getcap', ['handles-persistent'])).match(/0x[0-9A-F]+/gi) ?? [];

/** A TPM has room for three; the kernel sees to that by itself. */
const forget = 'tpm2_flushcontext --transient-object';

/** As confluent's nodes do. */
const unseal = (handle: string) =>
  tpm.script(`
    tpm2_startauthsession --session=s --policy-session >&2
    tpm2_policypcr -Q --session=s --pcr-list=sha256:15 >&2
    tpm2_unseal --auth=session:s --object-context=${handle} || status=$?
    tpm2_flushcontext s
    exit \${status:-0}`);
const seal = (key: string) =>
  tpm.script(`
    tpm2_startauthsession --session=s
    tpm2_policypcr -Q --session=s --pcr-list=sha256:15 --policy=p
    tpm2_flushcontext s
    tpm2_createprimary -G ecc -Q --key-context=primary; ${forget}
    echo 'CONFLUENT_APIKEY:${key}' | tpm2_create -Q --policy=p --public=pub --private=priv --sealing-input=- -C primary; ${forget}
    tpm2_load -Q --parent-context=primary --public=pub --private=priv --key-context=sealed; ${forget}
    tpm2_evictcontrol -c sealed; ${forget}`);

const pcrs15 = async () => [
  ...(await tpm.tool('pcrread', ['sha1:15+sha256:15+sha384:15+sha512:15'])).matchAll(/15: 0x(\w+)/g),
];

it('a key is granted once, and comes from the TPM then; nobody else gets at it until the machine is switched on again', async () => {
  const first = await armed();
  expect(first.lacks).toEqual([]);
  expect(first.said).toContainEqual(expect.stringMatching(/^the TPM keeps the key of this node \(0x81000000\)$/));
  await expect(unseal('0x81000000')).rejects.toThrow(/policy/i);
  await tpm.restart();
  expect(await unseal('0x81000000')).toBe(`CONFLUENT_APIKEY:${first.key}\n`);
  // Disarmed by the first.
  expect(await enrol()).toMatchObject({ key: first.key, lacks: [] });
  await expect(unseal('0x81000000')).rejects.toThrow(/policy/i);
  expect((await pcrs15()).map(([, value]) => value)).not.toContainEqual(expect.stringMatching(/^0+$/));
  expect(await pcrs15()).toHaveLength(4);
  expect(await handles()).toEqual(['0x81000000']);
});

it('machines that are switched off count for nothing: the key is not the business of the lock against guesses', async () => {
  await armed();
  expect((await tpm.tool('readpublic', ['-c', '0x81000000'])).replace(/\s+/g, ' ')).toMatch(
    /value: fixedtpm\|fixedparent\|noda /,
  );
});

it('one that confluent’s node has sealed is good, beside what is somebody else’s', async () => {
  const { key } = await armed();
  await tpm.tool('evictcontrol', ['-c', '0x81000000']);
  await tpm.restart();
  await tpm.script(
    'tpm2_createprimary -Q -G rsa -c other; tpm2_evictcontrol -c other 0x81000007; tpm2_flushcontext --transient-object',
  );
  await seal('of another node, by mistake');
  await seal(key);
  const { key: used, lacks } = await enrol();
  expect({ used, lacks }).toEqual({ used: key, lacks: [] });
  expect(await handles()).toEqual(['0x81000000', '0x81000001', '0x81000007']);
});

it('one that its only member refuses is replaced by a grant, and then removed', async () => {
  await armed();
  await tpm.restart();
  await member.cli('node', 'rm', 'n1');
  await member.cli('node', 'add', 'n1', 'net.ipv4_address=10.7.0.5/24', 'deployment.pendingprofile=demo');
  const { key, said } = await armedLate();
  expect(said).toContainEqual(
    expect.stringMatching(
      /^key: the key of the TPM is refused by 10\.7\.0\.1; n1 has no key: 10\.7\.0\.1 gives none: arm it/,
    ),
  );
  expect(await handles()).toHaveLength(1);
  await tpm.restart();
  expect(await enrol()).toMatchObject({ key });
});

it('one that a member refuses is kept while another wants it, or may: removed when a second one has refused it', async () => {
  const { key } = await armed();
  await using other = await member.copied('--listen', otherMember, '--no-discovery');
  const both = { members: [otherMember, memberAddress] };
  /** It does not know the key any more. */
  const forget = async (of: MemberServer) => {
    await of.cli('node', 'rm', 'n1');
    await of.cli('node', 'add', 'n1', 'net.ipv4_address=10.7.0.5/24', 'deployment.pendingprofile=demo');
  };
  other.profile('demo', { 'profile.yaml': 'label: Demo\n' });
  await forget(other);
  await tpm.restart();
  expect(await enrol(both)).toMatchObject({ key, lacks: [] });
  // The other way round nobody can say whether the key is good.
  await member.end();
  await other.cli('node', 'arm', 'n1', 'once');
  await tpm.restart();
  const { key: second } = await enrol(both);
  expect(second).not.toBe(key);
  expect(await handles()).toHaveLength(2);
  await member.run();
  await tpm.restart();
  expect(await enrol({ members: [memberAddress, otherMember] })).toMatchObject({ key: second });
  await forget(member);
  await forget(other);
  await other.cli('node', 'arm', 'n1', 'once');
  await tpm.restart();
  const { key: third } = await enrol(both);
  expect([key, second]).not.toContain(third);
  expect(await handles()).toHaveLength(1);
});

it('without having been switched off it gives nothing, and keeps nothing that no boot could get: that is said, and a grant is asked for', async () => {
  await armed();
  const { said, lacks } = await armedLate();
  expect(await handles()).toEqual(['0x81000000']);
  expect(said[0]).toMatch(
    /^the TPM does not give the key 0x81000000: PCR 15 is not as it was when the machine was switched on: .*kexec/,
  );
  expect(lacks).toEqual([expect.stringMatching(/^the key of this node is not kept, .*: PCR 15 is not as .*kexec/)]);
});

describe('a TPM that fails', () => {
  let shims: TempDir;
  /** Called in the place of a tool, with that as its first word. */
  const shim = (tool: string, script: string) =>
    writeFileSync(join(shims.path, `tpm2_${tool}`), `#!/bin/sh\nreal=/usr/bin/tpm2_${tool}\n${script}\n`, {
      mode: 0o755,
    });
  const enrolShimmed = () => {
    const env = { ...tpm.environment, PATH: `${shims.path}:${process.env['PATH']}` };
    return neighbours.asNode<Enrolled>('enrol', { members: [memberAddress] }, { env });
  };
  /** Fails until it has been called so often. */
  const failing = (times: number) =>
    `echo x >>${shims.path}/calls; [ $(wc -l <${shims.path}/calls) -gt ${times} ] && exec $real "$@"; echo "ERROR: failed (0x101)" >&2; exit 1`;
  beforeEach(() => {
    shims = makeTempDir('shims');
    return () => shims.remove();
  });

  it.each(['getcap', 'startauthsession'])('once, in %s, is asked again: no grant is needed', async (tool) => {
    const { key } = await armed();
    await tpm.restart();
    shim(tool, failing(1));
    const { key: used, said, lacks } = await enrolShimmed();
    expect({ used, lacks }).toEqual({ used: key, lacks: [] });
    expect(said[0]).toMatch(/^the TPM (?:gives no key|does not give the key 0x81000000): .*0x101/);
  });

  it('to give a key is locked all the same', async () => {
    await armed();
    await tpm.restart();
    shim('readpublic', 'echo "ERROR: failed (0x101)" >&2; exit 1');
    await member.cli('node', 'arm', 'n1', 'once');
    await enrolShimmed();
    await expect(unseal('0x81000000')).rejects.toThrow(/policy/i);
  });

  it.each([
    ['does nothing', 'exit 0', /PCR 15 of \w+ has not changed/],
    [
      'is of some banks alone',
      'exec $real 15:sha1=$(printf x | sha1sum | cut -c1-40)',
      /PCR 15 of sha256 has not changed/,
    ],
  ])('to lock is told: the extension %s', async (_, script, why) => {
    shim('pcrextend', script);
    await member.cli('node', 'arm', 'n1', 'once');
    const { lacks } = await enrolShimmed();
    expect(lacks).toEqual([expect.stringMatching(/^whoever is root here can get the key from the TPM: /)]);
    expect(lacks[0]).toMatch(why);
  });

  it('to lock, although it says that it has, is found out by asking for the key', async () => {
    await armed();
    await tpm.restart();
    shim('unseal', `[ -e ${shims.path}/key ] && exec cat ${shims.path}/key; $real "$@" | tee ${shims.path}/key`);
    const { lacks } = await enrolShimmed();
    expect(lacks).toEqual([expect.stringMatching(/the key 0x81000000 can be unsealed still$/)]);
  });

  it('to keep a new key keeps the old one, whoever has refused that', async () => {
    await armed();
    await tpm.restart();
    await tpm.tool('changeauth', ['-c', 'owner', 'secret']);
    await member.cli('node', 'rm', 'n1');
    await member.cli('node', 'add', 'n1', 'net.ipv4_address=10.7.0.5/24', 'deployment.pendingprofile=demo');
    const { lacks } = await armedLate();
    expect(lacks).toEqual([expect.stringMatching(/the owner of the TPM has a password$/)]);
    expect(await handles()).toEqual(['0x81000000']);
  });
});

it('more is measured, if that is wanted: another boot loader does not get the key', async () => {
  const { key } = await armed({ tpmPcrs: [7] });
  await tpm.restart();
  await expect(unseal('0x81000000')).rejects.toThrow(/policy/i);
  expect(await enrol({ tpmPcrs: [7] })).toMatchObject({ key });
  await tpm.restart();
  await tpm.tool('pcrextend', [`7:sha256=${'ab'.repeat(32)}`]);
  await member.cli('node', 'arm', 'n1', 'once');
  const { said } = await enrol({ tpmPcrs: [7] });
  expect(said[0]).toBe('the TPM does not give the key 0x81000000: sealed by other measurements than these');
});

it.each([
  ['its owner has a password', 'tpm2_changeauth -c owner secret', /the owner of the TPM has a password$/],
  ['it has no room', fill(), /the TPM has no room for another key: tpm2_getcap handles-persistent/],
])('a key that cannot be kept is told: %s; the node goes on', async (_, lines, words) => {
  await tpm.script(lines);
  const { lacks } = await armed();
  expect(lacks).toEqual([expect.stringMatching(words)]);
  expect(lacks[0]).toMatch(/^the key of this node is not kept, and asked for at the next boot: /);
});

/** With data and keys of others, large ones first. */
function fill(): string {
  return `
    number=0
    while tpm2_nvdefine -Q -s 2048 "$(printf '0x15000%02x' $number)" 2>/dev/null; do number=$((number + 1)); done
    keep() {
      while tpm2_evictcontrol -Q -c "$1" "$(printf '0x810001%02x' $number)" 2>/dev/null; do number=$((number + 1)); ${forget}; done
      ${forget}
    }
    tpm2_createprimary -Q -G rsa -c large; ${forget}
    keep large
    tpm2_createprimary -Q -G ecc -c primary; ${forget}
    echo x | tpm2_create -Q -C primary -i - -u u -r r; ${forget}
    tpm2_load -Q -C primary -u u -r r -c small; ${forget}
    keep small`;
}

it('a TPM that is locked against guesses gives keys all the same, ours and confluent’s: nobody guesses here', async () => {
  const { key } = await armed();
  await tpm.restart();
  await seal('another');
  const guess = (word: string) =>
    tpm.script(`tpm2_unseal -c loaded -p ${word} || status=$?; ${forget}; exit \${status:-0}`);
  await tpm.script(`
    tpm2_dictionarylockout --setup-parameters --max-tries=1 --recovery-time=1000 --lockout-recovery-time=1000
    tpm2_createprimary -Q -G ecc -c primary; ${forget}
    echo x | tpm2_create -Q -C primary -p right -i - -u u -r r; ${forget}
    tpm2_load -Q -C primary -u u -r r -c loaded; ${forget}`);
  await expect(guess('wrong')).rejects.toThrow(/0x98E|authorization/i);
  await expect(guess('right')).rejects.toThrow(/lockout/);
  expect(await unseal('0x81000001')).toBe('CONFLUENT_APIKEY:another\n');
  expect(await enrol()).toMatchObject({ key, lacks: [] });
});

it('a machine without one asks for a key at each boot', async () => {
  await member.cli('node', 'arm', 'n1', 'once');
  const { said, lacks } = await neighbours.asNode<Enrolled>('enrol', { members: [memberAddress] });
  expect({ last: said.at(-1), lacks }).toEqual({
    last: 'it has no TPM: this node asks for a key at each boot',
    lacks: [],
  });
});
