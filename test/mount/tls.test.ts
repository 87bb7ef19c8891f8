/** Whom a mount believes over https, what it says of whom it does not believe, and that nothing is ever asked without TLS instead. */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificateAuthority } from '../support/certificates.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { signal } from '../support/process-tree.ts';
import { HeldMount } from './held-mount.ts';
import { expectWhole } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
/** Certificates beside the authority of `site`, and one that nobody knows. */
let directory: string;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 2, members: 1 });
  directory = site.path('authorities');
  mkdirSync(directory);
  copyFileSync(site.authority.file, join(directory, 'site.pem'));
});
afterAll(() => site?.[Symbol.asyncDispose]());

const urls = () => site.urls('https');
const mount = (...options: string[]) => HeldMount.make({ urls: urls(), mountpoint: site.newMountpoint(), options });

describe('--ca-dir', () => {
  it('believes every authority in it, once, with names of hashes and other files beside them', async () => {
    symlinkSync('site.pem', join(directory, '1a2b3c4d.0'));
    symlinkSync('nothing', join(directory, 'dangling.pem'));
    writeFileSync(join(directory, 'README'), 'Authorities of this site.\n');
    await using held = await mount('--ca-dir', directory);
    await expectWhole(held.file, site.served);
  });

  it('what was believed at the mount a successor believes, though the files have gone', async () => {
    const own = site.path('gone');
    mkdirSync(own);
    copyFileSync(site.authority.file, join(own, 'site.pem'));
    const other = makeCertificateAuthority(site.path('other'));
    await using held = await mount('--ca-file', other.file, '--ca-dir', own);
    rmSync(own, { recursive: true });
    signal(held.daemon, 'SIGKILL');
    await held.successorOf(held.daemon);
    await expectWhole(held.file, site.served);
  });

  it.each<[string, (path: string) => void, RegExp]>([
    ['that is not there', () => {}, /--ca-dir \S+: no such directory/],
    ['without a certificate', (path) => mkdirSync(path), /--ca-dir \S+: no file in it holds a certificate in PEM/],
    [
      'with a broken one',
      (path) => {
        mkdirSync(path);
        writeFileSync(join(path, 'broken.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
      },
      /--ca-dir \S+broken\.pem: it holds a certificate that cannot be read/,
    ],
  ])('%s is refused', async (what, make, line) => {
    const path = site.path(`dir-${what.replaceAll(' ', '-')}`);
    make(path);
    await expect(mount('--ca-dir', path)).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(line) });
  });
});

describe('not believed', () => {
  const day = 86_400_000;
  const on = (days: number) => new Date(Date.now() + days * day);

  /** `tetherfs mount` in the foreground, until it gives up. @returns what it said. */
  async function refusal(environment: NodeJS.ProcessEnv = {}): Promise<string> {
    const words = ['mount', '--foreground', '--mount-timeout', '1', '--ca-file', site.authority.file];
    const child = spawn(tetherfsCommand, [...words, ...urls(), site.newMountpoint()], {
      env: { ...process.env, ...environment },
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    const said = await text(child.stderr);
    expect(await ended, said).toBe(1);
    return said;
  }

  it.each<[string, () => Parameters<Site['authority']['issue']>, RegExp]>([
    [
      'another name',
      () => [['127.0.0.99']],
      /for another name than 127\.0\.0\.11: use a URL with a name it holds \(IP Address:127\.0\.0\.99\)/,
    ],
    [
      'expired',
      () => [['127.0.0.11'], { notBefore: on(-9), notAfter: on(-2) }],
      /its certificate has expired by this machine's clock \(\d{4}-\d\d-\d\d\): check the clock, or renew it/,
    ],
    [
      'not yet valid',
      () => [['127.0.0.11'], { notBefore: on(2), notAfter: on(9) }],
      /its certificate is not yet valid by this machine's clock/,
    ],
  ])('%s', async (_what, certificate, line) => {
    const [member] = site.members;
    await member?.restart({ certificate: site.authority.issue(...certificate()) });
    try {
      expect(await refusal()).toMatch(line);
    } finally {
      await member?.restart({ certificate: site.authority.issue(['127.0.0.11']) });
    }
  });

  it('an authority that nobody knows; and nothing was asked over http', async () => {
    const [member] = site.members;
    const unknown = makeCertificateAuthority(site.path('unknown'));
    await member?.restart({ certificate: unknown.issue(['127.0.0.11']) });
    member?.forget();
    try {
      expect(await refusal()).toMatch(/not signed by a known CA .*name .* with --ca-file or --ca-dir/);
      expect(member?.requests()).toEqual([]);
    } finally {
      await member?.restart({ certificate: site.authority.issue(['127.0.0.11']) });
    }
  });

  it('a clock of 1970: the line has the date that this machine believes in', async () => {
    const said = await refusal({
      LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
      FAKETIME: '@1970-01-02 00:00:00',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    });
    expect(said).toMatch(/is not yet valid by this machine's clock \(1970-01-02\): check the clock, or renew it/);
  });
});
