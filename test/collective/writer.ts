/** writer STORE: changes a store as fast as it can, and says each change after it was acknowledged. For the test that kills it. */
import { SqliteStore } from '../../src/collective/store/sqlite.ts';

const store = new SqliteStore(process.argv[2] ?? '');
for (let number = Number(process.argv[3]); ; number++) {
  const key = `node/n${number % 7}`;
  const revision = (await store.get(key))?.revision ?? 0;
  await store.transact([
    { key, revision, value: { number } },
    { key: `count/${number}`, revision: 0, value: number },
  ]);
  process.stdout.write(`${number}\n`);
}
