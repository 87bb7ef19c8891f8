/** Whether a machine has a TPM that can be used: by what its kernel shows, in directories of our own. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { whyNoTpm } from '../../src/node/tpm/device.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const machine = makeTempDir('tpm-machine');
const at = (path: string) => join(machine.path, path);
const [device, found] = ['dev/tpmrm0', 'sys/class/tpm/tpm0'];
beforeEach(() => {
  for (const path of ['dev', 'sys/class/tpm']) mkdirSync(at(path), { recursive: true });
  return () => {
    for (const path of ['dev', 'sys']) rmSync(at(path), { recursive: true });
  };
});
afterAll(() => machine.remove());

it('a machine has one, or none', async () => {
  expect(await whyNoTpm(machine.path)).toBe('it has no TPM');
  writeFileSync(at(device), '');
  expect(await whyNoTpm(machine.path)).toBeUndefined();
});

it('one whose driver is slow is waited for; the device that never comes is named', async () => {
  mkdirSync(at(found));
  const waiting = whyNoTpm(machine.path);
  writeFileSync(at(device), '');
  expect(await waiting).toBeUndefined();
  rmSync(at(device));
  expect(await whyNoTpm(machine.path)).toBe('its TPM has no /dev/tpmrm0: is its driver in the initramfs?');
});

it('a machine may have one that is too old', async () => {
  mkdirSync(at(found));
  writeFileSync(at(join(found, 'tpm_version_major')), '1\n');
  expect(await whyNoTpm(machine.path)).toBe('its TPM is of version 1.2');
});
