/** bare-https PORT STATE LENGTH: an HTTPS server that answers everything with LENGTH bytes, by the certificate of the member whose state that is. Says a line when it listens. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';

const [port = '', state = '', length = ''] = process.argv.slice(2);
const body = 'x'.repeat(Number(length));
createServer(
  { cert: readFileSync(join(state, 'member.pem')), key: readFileSync(join(state, 'member.key')) },
  (_request, response) => response.end(body),
).listen(Number(port), '127.0.0.1', () => process.stdout.write('it listens\n'));
