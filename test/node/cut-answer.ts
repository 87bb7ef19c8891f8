/** cut-answer LISTEN ADDRESS: the port of grants of the member ADDRESS, at LISTEN: all of a grant passes, but for the member's last answer. */
import { connect, createServer } from 'node:net';
import { grantPort } from '../../src/protocol/grant.ts';

const [listen = '', address = ''] = process.argv.slice(2);
/** Who is root asks from one below 1000. */
let localPort = 600;

createServer((node) => {
  const onward = connect({ host: address, port: grantPort, localPort: localPort++ });
  let hasShown = false;
  node.on('data', (bytes) => {
    hasShown ||= bytes.includes('$5$');
    onward.write(bytes);
  });
  onward.on('data', (bytes) => void (hasShown ? node.destroy() : node.write(bytes)));
  node.on('close', () => onward.destroy());
  onward.on('close', () => node.destroy());
  for (const socket of [node, onward]) socket.on('error', () => {});
}).listen(grantPort, listen, () => process.stdout.write('listens\n'));
