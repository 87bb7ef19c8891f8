/**
 * Cold sequential read over loopback HTTP and HTTPS, beside curl on the same file
 *
 * One member, no limit but the processor: what the daemon costs a byte, with verification. The loopback has an Ethernet's MTU.
 */
import { join } from 'node:path';
import { makeCertificateAuthority } from '../test/support/certificates.ts';
import { Nginx } from '../test/support/nginx.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { benchOptions } from './support/options.ts';
import { curlWhole, readWhole } from './support/timed-command.ts';

const { runs, imageBytes } = benchOptions({ runs: 3, imageMiB: 512 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
const authority = makeCertificateAuthority(join(directory.path, 'ca'));
const address = '127.0.0.11';
await using nginx = await Nginx.start({ address, publicDir: image.publicDir, certificate: authority.issue([address]) });

const rate = (seconds: number) => image.size / 1e6 / seconds;
for (const scheme of ['http', 'https'] as const) {
  const url = nginx.url(image.path, scheme);
  const curl: Measured = { name: `curl ${scheme}`, unit: 'MB/s', values: [] };
  const mount: Measured = { name: `mount ${scheme}`, unit: 'MB/s', values: [] };
  const options = ['--digest', image.digest, '--ca-file', authority.file];
  for (let run = 0; run < runs; run++) {
    curl.values.push(rate(await curlWhole(url, '--cacert', authority.file)));
    mount.values.push(rate(await withFreshMount([url], options, ({ file }) => readWhole(file))));
  }
  printFigures([curl, mount], curl.name);
}
