/** s3-store CONFIG: an S3-like object store in the foreground; CONFIG is a JSON file: address, port, directory, bucket. Its one key is S3RVER:S3RVER. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

interface Store {
  run(): Promise<unknown>;
}
type StoreClass = new (options: Record<string, unknown>) => Store;

const S3rver = createRequire(import.meta.filename)('@20minutes/s3rver') as StoreClass;
const { bucket, ...options } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Record<string, unknown>;
await new S3rver({ ...options, silent: true, configureBuckets: [{ name: bucket }] }).run();
