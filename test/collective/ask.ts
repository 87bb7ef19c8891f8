/**
 * ask KIND ADDRESS NAMES WANTED: asks for members as a node does (udp4 or udp6, to ADDRESS), with NAMES as JSON; prints what came in 1.5 s as JSON, and later if that is fewer
 * than WANTED answers.
 */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { discoveryPort, formatSearch, parseFound } from '../../src/protocol/discovery.ts';

const [kind = '', address = '', search = '{}', wanted = '0'] = process.argv.slice(2);
const socket = createSocket(kind === 'udp6' ? 'udp6' : 'udp4');
const found: unknown[] = [];
socket.on('message', (datagram, { address: from }) => found.push({ ...parseFound(datagram), from }));
await new Promise<void>((resolve) => socket.bind(0, resolve));
if (kind === 'udp6') socket.setMulticastInterface(`::%${address.split('%')[1]}`);
socket.setBroadcast(true);
socket.send(formatSearch(JSON.parse(search)), discoveryPort, address);
const began = performance.now();
await sleep(1_500);
while (found.length < Number(wanted) && performance.now() - began < 30_000) await sleep(50);
socket.close();
process.stdout.write(JSON.stringify(found));
