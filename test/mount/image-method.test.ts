import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { Site } from './site.ts';

let site: Site;
let profileFile: string;
let profileUrl: string;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 2, members: 2 });
  profileFile = join(site.fileOf(0), '../profile.yaml');
  profileUrl = site.urls()[0]?.replace('rootimg.sfs', 'profile.yaml') ?? '';
});
afterAll(() => site[Symbol.asyncDispose]());

function profile(kernelargs: string): void {
  writeFileSync(profileFile, `label: A test\nostype: linux\nkernelargs: ${kernelargs}\n`);
}

async function methodWith(...options: string[]): Promise<{ method: string; state: string; log: string }> {
  await using daemon = await site.mount(['--digest', site.digest, ...options]);
  const { method, state } = (await daemon.status()).memory;
  return { method, state, log: daemon.log };
}

it('is tethered when nobody says anything', async () => {
  expect(await methodWith()).toMatchObject({ method: 'tethered', state: 'tethered' });
  profile('quiet');
  expect(await methodWith('--profile', profileFile)).toMatchObject({ method: 'tethered' });
});

it('waits for a profile whose server is not there yet', async () => {
  profile('confluent_imagemethod=progressive');
  await site.members[0]?.kill();
  const options = ['--digest', site.digest, '--profile', profileUrl];
  await using daemon = Daemon.launch({ urls: site.urls(), mountpoint: site.newMountpoint(), options });
  await daemon.says('cannot be got yet');
  await site.members[0]?.restart();
  await daemon.ready();
  expect((await daemon.status()).memory.method).toBe('progressive');
});

it('is what the profile says, a file or a URL', async () => {
  profile('quiet confluent_imagemethod=untethered rd.shell');
  expect(await methodWith('--profile', profileFile)).toMatchObject({ method: 'untethered', state: 'untethered' });
  expect(await methodWith('--profile', profileUrl)).toMatchObject({ method: 'untethered' });
  profile('confluent_imagemethod=progressive');
  expect(await methodWith('--profile', profileUrl)).toMatchObject({ method: 'progressive' });
  profile('confluent_imagemethod=uncompressed');
  expect(await methodWith('--profile', profileUrl)).toMatchObject({ method: 'untethered' });
});

it('a flag overrides it, and the log says so', async () => {
  profile('confluent_imagemethod=untethered');
  const { method, log } = await methodWith('--profile', profileFile, '--image-method', 'tethered');
  expect(method).toBe('tethered');
  expect(log).toContain('--image-method overrides the profile method=tethered said=untethered');
});

it('anything else is an error of a file that lists the choices, and of a server no reason not to mount', async () => {
  for (const [text, why] of [
    [
      'kernelargs: confluent_imagemethod=teathered\n',
      /"teathered": say one of tethered, untethered, uncompressed, progressive/,
    ],
    ['- a\n- list\n', /is no profile/],
  ] as const) {
    writeFileSync(profileFile, text);
    const mountpoint = site.newMountpoint();
    const options = ['--digest', site.digest, '--profile', profileFile];
    await using daemon = Daemon.launch({ urls: site.urls(), mountpoint, options });
    expect(await daemon.ended).toBe(2);
    expect(daemon.log).toMatch(why);
    const served = await methodWith('--profile', profileUrl);
    expect(served.method).toBe('tethered');
    expect(served.log).toContain('says nothing that is understood');
  }
});

it('a profile that cannot be had is an error that says where', async () => {
  const options = ['--digest', site.digest, '--profile', `${profileUrl}.not`];
  await using daemon = Daemon.launch({ urls: site.urls(), mountpoint: site.newMountpoint(), options });
  expect(await daemon.ended).toBe(1);
  expect(daemon.log).toMatch(/profile\.yaml\.not.*404/);
});
