import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it, test } from 'vitest';
import { type Change, ConflictError, change } from '../../src/collective/store/contract.ts';
import { SqliteStore } from '../../src/collective/store/sqlite.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const temp = makeTempDir('store');
afterAll(() => temp.remove());
let stores = 0;
const newPath = () => `${temp.path}/store-${stores++}.sqlite`;

async function withStore(use: (store: SqliteStore, path: string) => Promise<unknown>): Promise<void> {
  const path = newPath();
  const store = new SqliteStore(path);
  try {
    await use(store, path);
  } finally {
    await store.close();
  }
}

describe('a transaction', () => {
  it('makes all its changes, and says their revision', () =>
    withStore(async (store) => {
      const revision = await store.transact([
        { key: 'node/a', revision: 0, value: { x: 1 } },
        { key: 'node/b', revision: 0, value: null },
      ]);
      expect(await store.list('node/')).toEqual([
        { key: 'node/a', value: { x: 1 }, revision },
        { key: 'node/b', value: null, revision },
      ]);
      expect(await store.list('nod')).toHaveLength(2);
      expect(await store.get('node/')).toBeUndefined();
    }));

  it('makes none when one of its entries is not as it was', () =>
    withStore(async (store) => {
      const revision = await store.transact([{ key: 'a', revision: 0, value: 1 }]);
      const changes = [
        { key: 'b', revision: 0, value: 2 },
        { key: 'a', revision: revision - 1, value: 2 },
      ];
      await expect(store.transact(changes)).rejects.toThrow(ConflictError);
      await expect(store.transact([{ key: 'a', revision: 0, value: 2 }])).rejects.toThrow(
        /a has been changed by somebody else/,
      );
      expect(await store.get('b')).toBeUndefined();
      expect((await store.get('a'))?.value).toBe(1);
    }));

  it('that is refused leaves those that go to the disk with it', () =>
    withStore(async (store) => {
      const results = await Promise.allSettled([
        store.transact([{ key: 'a', revision: 0, value: 1 }]),
        store.transact([{ key: 'a', revision: 0, value: 2 }]),
        store.transact([{ key: 'b', revision: 0, value: 3 }]),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect((await store.list('')).map(({ value }) => value)).toEqual([1, 3]);
    }));

  it('removes what is to be nothing', () =>
    withStore(async (store) => {
      const revision = await store.transact([{ key: 'a', revision: 0, value: 1 }]);
      await store.transact([{ key: 'a', revision, value: undefined }]);
      expect(await store.get('a')).toBeUndefined();
      await expect(store.transact([{ key: 'a', revision, value: 1 }])).rejects.toThrow(ConflictError);
    }));
});

test('it is what a map would be, whatever is done to it', async () => {
  const one = fc.record({
    key: fc.constantFrom('a', 'b', 'b/c', 'd'),
    value: fc.option(fc.jsonValue(), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(one, { minLength: 1, maxLength: 3 }), { maxLength: 15 }), (transactions) =>
      withStore(async (store) => {
        const model = new Map<string, unknown>();
        for (const transaction of transactions) {
          const unique = [...new Map(transaction.map((each) => [each.key, each])).values()];
          const changes: Change[] = [];
          for (const { key, value } of unique)
            changes.push({ key, value, revision: (await store.get(key))?.revision ?? 0 });
          await store.transact(changes);
          for (const { key, value } of unique) {
            if (value === undefined) model.delete(key);
            else model.set(key, JSON.parse(JSON.stringify(value)));
          }
        }
        const found = (await store.list('')).map(({ key, value }) => [key, value]);
        expect(found).toEqual([...model].sort(([a], [b]) => (a < b ? -1 : 1)));
      }),
    ),
    { numRuns: 25 },
  );
});

it('many who change one entry by what they read lose nothing', () =>
  withStore(async (store, path) => {
    const other = new SqliteStore(path);
    const add = (by: SqliteStore) =>
      change(by, async () => {
        const entry = await by.get('count');
        const next = Number(entry?.value ?? 0) + 1;
        return { changes: [{ key: 'count', revision: entry?.revision ?? 0, value: next }], result: next };
      });
    for (let round = 0; round < 10; round++) await Promise.all([add(store), add(other), add(store)]);
    expect((await store.get('count'))?.value).toBe(30);
    await other.close();
  }));

it('is for its owner alone', () =>
  withStore(async (store, path) => {
    await store.audit({ subject: 'n1', event: 'x', by: 'y' });
    const [name = ''] = path.split('/').slice(-1);
    for (const file of readdirSync(temp.path).filter((each) => each.startsWith(name))) {
      expect([file, statSync(`${temp.path}/${file}`).mode & 0o777]).toEqual([file, 0o600]);
    }
  }));

it('the audit is asked by what, by whom, since when; the newest, in their order', () =>
  withStore(async (store) => {
    for (let number = 0; number < 5; number++) {
      await store.audit({
        subject: `n${number % 2}`,
        event: number < 3 ? 'key' : 'armed',
        by: '10.0.0.1',
        detail: String(number),
      });
    }
    const details = async (query: { subject?: string; event?: string; since?: number; limit?: number }) =>
      (await store.audited({ limit: 10, ...query })).map(({ detail }) => detail);
    expect(await details({})).toEqual(['0', '1', '2', '3', '4']);
    expect(await details({ limit: 2 })).toEqual(['3', '4']);
    expect(await details({ subject: 'n1' })).toEqual(['1', '3']);
    expect(await details({ event: 'armed' })).toEqual(['3', '4']);
    expect(await details({ since: Date.now() + 1_000 })).toEqual([]);
  }));

it('killed at any moment, it has every change that was acknowledged, whole', async () => {
  const path = newPath();
  const script = fileURLToPath(new URL('./writer.ts', import.meta.url));
  let acknowledged = -1;
  for (let kill = 0; kill < 12 || acknowledged < 200; kill++) {
    const first = acknowledged + 1;
    const writer = spawn(process.execPath, [script, path, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    writer.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    while (!said.includes('\n')) await sleep(5);
    await sleep(Math.random() * 60);
    writer.kill('SIGKILL');
    await once(writer, 'close');
    acknowledged = Math.max(acknowledged, ...said.split('\n').slice(0, -1).map(Number));
    const store = new SqliteStore(path);
    const counts = (await store.list('count/')).map(({ value }) => Number(value)).sort((a, b) => a - b);
    // One more may have got there, and not been said.
    expect(counts.length).toBeGreaterThan(acknowledged);
    expect(counts).toEqual(counts.map((_, index) => index));
    for (const { key, value } of await store.list('node/')) {
      const { number } = value as { number: number };
      expect([key, number]).toEqual([`node/n${number % 7}`, counts.findLast((count) => count % 7 === number % 7)]);
    }
    acknowledged = counts.length - 1;
    await store.close();
  }
});
