/** The drop-in for confluent's initramfs, called as confluent's hook calls its own programs: from a machine that owns nothing to its image as a file. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import { type PackedImage, packImage } from '../support/packed-image.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { memberAddress, Neighbours } from './neighbours.ts';
import { NodeRoot } from './node-root.ts';

const checkout = dirname(dirname(checkoutCommand));
const temp = makeTempDir('drop-in');
let neighbours: Neighbours;
let root: NodeRoot;
let image: PackedImage;

/** The archive, as `npm run build:dropin` makes it, of a runtime that is compressed in a hurry. */
function buildDropIn(): string {
  const runtime = process.env['TETHERFS'] === undefined ? join(temp.path, 'runtime') : dirname(process.env['TETHERFS']);
  if (process.env['TETHERFS'] === undefined) execFileSync(join(checkout, 'scripts/build-runtime'), [runtime]);
  const [squashed, archive] = [join(temp.path, 'runtime.sfs'), join(temp.path, 'tetherfs.cpio')];
  execFileSync(
    'mksquashfs',
    [runtime, squashed, '-comp', 'zstd', '-Xcompression-level', '1', '-quiet', '-no-progress'],
    { stdio: 'ignore' },
  );
  execFileSync(join(checkout, 'scripts/build-dropin'), [squashed, archive]);
  return archive;
}

beforeAll(async () => {
  neighbours = await Neighbours.make();
  root = new NodeRoot();
  const { member } = neighbours;
  const tree = join(temp.path, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'hello'), 'of the image');
  image = await packImage(tree, temp.path);
  cpSync(join(image.publicDir, 'os/demo'), join(member.tree, 'public/os/demo'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  member.profile('demo', {});
  // As the kernel does with the archives of confluent, and ours behind them.
  for (const archive of [join(member.tree, 'public/site/initramfs.cpio'), buildDropIn()])
    execFileSync('sh', ['-c', `cd ${root.path} && cpio --quiet -idu <${archive}`]);
  // The only authorities there, and where Red Hat has them.
  rmSync(root.at('/etc/ssl/certs'), { recursive: true });
  execFileSync('sh', [
    '-c',
    `mkdir -p ${root.at('/etc/pki/tls/certs')} && cat ${root.at('/tls')}/*.pem >${root.at('/etc/pki/tls/certs/ca-bundle.crt')}`,
  ]);
});
afterAll(async () => {
  root?.[Symbol.dispose]();
  await neighbours?.[Symbol.asyncDispose]();
  temp.remove();
});

const bin = '/opt/confluent/bin';
const sh = (script: string) => root.run(['sh', '-euc', script]);

it('copernicus says who the node is and who its members are, as confluent’s files have it', async () => {
  const { status, stdout, stderr } = await sh(`${bin}/copernicus -t`);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const index = (await root.run(['cat', '/sys/class/net/v1/ifindex'])).stdout.trim();
  expect(stdout).toMatch(/^NODENAME: n1\n/);
  expect(stdout).toContain(`MANAGER: ${memberAddress}\n`);
  expect(stdout).toMatch(new RegExp(`^MANAGER: (fe80::\\S+%${index})\\nEXTMGRINFO: \\1\\|\\d+\\|[01]\\n`, 'm'));
});

it('copernicus that finds nobody says nothing, and does not fail', async () => {
  const other = 'echo 00000000-0000-0000-0000-000000000000 >/other; mount --bind /other /confluent_uuid';
  expect(await sh(`${other}; ${bin}/copernicus -t`)).toEqual({ status: 0, stdout: '', stderr: '' });
});

it('clortho prints a key of an armed node, and nothing but a line on standard error otherwise, with 1', async () => {
  const { member } = neighbours;
  const denied = /^tetherfs: 10\.7\.0\.1 gives n1 no key: is it armed/;
  expect(await sh(`${bin}/clortho n1 ${memberAddress}`)).toEqual({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(denied),
  });
  const nobody = /^tetherfs: 10\.7\.0\.77 cannot be asked for a key: /;
  expect(await sh(`${bin}/clortho n1 10.7.0.77`)).toEqual({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(nobody),
  });
  expect(await sh(`${bin}/clortho n1`)).toMatchObject({ status: 1, stdout: '' });
  await member.cli('node', 'arm', 'n1', 'once');
  expect(await sh(`${bin}/clortho n1 ${memberAddress}`)).toEqual({
    status: 0,
    stdout: expect.stringMatching(/^[A-Za-z0-9./]{32}\n$/),
    stderr: '',
  });
  const token = (await member.cli('node', 'arm', 'n1', 'once', '--token')).trim().split(/\s+/).at(-1) ?? '';
  // As an editor leaves it.
  root.write('/token', `${token}\n`);
  expect(await sh(`${bin}/clortho n1 ${memberAddress} /token`)).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^\S{32}\n$/),
  });
});

it('all of it in a row: by link-local address, over TLS, to the image that urlmount shows', async () => {
  await neighbours.member.cli('node', 'arm', 'n1', 'once');
  const { status, stdout, stderr } = await sh(`
    ${bin}/copernicus -t >/info
    name=$(sed -n 's/^NODENAME: //p' /info | head -n 1)
    member=$(sed -n 's/^EXTMGRINFO: \\(.*\\)|.*|.*/\\1/p' /info | head -n 1)
    key=$(${bin}/clortho "$name" "$member")
    curl -sSfg --cacert /etc/pki/tls/certs/ca-bundle.crt -H "CONFLUENT_NODENAME: $name" -H "CONFLUENT_APIKEY: $key" "https://[$member]/confluent-api/self/deploycfg2" >/deploycfg
    profile=$(sed -n 's/^profile: //p' /deploycfg)
    urls=
    for address in $(sed -n 's/^MANAGER: //p' /info | sed s/%/%25/); do
      case $address in *:*) address="[$address]" ;; esac
      urls="$urls https://$address/confluent-public/os/$profile/rootimg.sfs"
    done
    mkdir -p /mnt/remoteimg
    ${bin}/urlmount $urls /mnt/remoteimg
    sha256sum </mnt/remoteimg/rootimg.sfs
    umount /mnt/remoteimg
    echo "$name $profile"`);
  const [sum] = execFileSync('sha256sum', [image.imageFile], { encoding: 'utf8' }).split(' ');
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `${sum}  -\nn1 demo\n`, stderr: '' });
});
