/** Makes a network of one member, says where, and waits: for a test that kills it. */
import { makeNetwork } from '../network/network.ts';

const { links } = await makeNetwork([{ megabits: 100, rttMs: 1 }]);
console.log(JSON.stringify(links[0]));
setInterval(() => {}, 1000);
