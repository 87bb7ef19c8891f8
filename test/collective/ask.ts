/** ask KIND ADDRESS NAMES: asks for members as a node does (udp4 or udp6, to ADDRESS), with NAMES as JSON; prints what came in 1.5 s, as JSON. */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { discoveryPort, formatSearch, parseFound } from '../../src/protocol/discovery.ts';

const [kind = '', address = '', search = '{}'] = process.argv.slice(2);
const socket = createSocket(kind === 'udp6' ? 'udp6' : 'udp4');
const found: unknown[] = [];
socket.on('message', (datagram, { address: from }) => found.push({ ...parseFound(datagram), from }));
await new Promise<void>((resolve) => socket.bind(0, resolve));
if (kind === 'udp6') socket.setMulticastInterface(`::%${address.split('%')[1]}`);
socket.setBroadcast(true);
socket.send(formatSearch(JSON.parse(search)), discoveryPort, address);
await sleep(1_500);
socket.close();
process.stdout.write(JSON.stringify(found));
