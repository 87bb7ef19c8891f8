/** A member among strangers: whatever comes over its sockets, nothing private goes out, no key is given, and it goes on. Long forms: `npm run test:collective`. */
import { createSocket } from 'node:dgram';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { discoveryPort, formatSearch } from '../../src/protocol/discovery.ts';
import { GrantNode, grantPort, highestClientPort } from '../../src/protocol/grant.ts';
import { pseudoRandomIntegers } from '../mount/pseudo-random.ts';
import { askForKey, MemberServer, newKey } from '../support/member.ts';
import { waitUntil } from '../support/wait-until.ts';
import { askForPaths, exchange, openTo } from './raw-http.ts';
import { isLong, many } from './scale.ts';

/** Uniform in [0, 1), the same each time. */
function uniform(seed: number): () => number {
  const below = pseudoRandomIntegers(seed);
  return () => below(1_000_000) / 1_000_000;
}

const canary = 'canary-5f0c9e';
const found = 'found-7a11d2';
let member: MemberServer;
let key: string;
beforeAll(async () => {
  member = await MemberServer.start();
  member.profile('demo', {
    'public.txt': found,
    'private/pending/canary': canary,
    'private/pending/rootimg.key': canary,
    'private/canary': canary,
  });
  // Where a path that leaves both trees would lead.
  mkdirSync(join(member.tree, 'canary'));
  writeFileSync(join(member.tree, 'canary/canary'), canary);
  key = await member.nodeWithKey('n1', 'deployment.pendingprofile=demo');
});
afterAll(() => member?.[Symbol.asyncDispose]());

/** It serves, and serves whom it should. */
async function expectWell(): Promise<void> {
  expect((await member.ask('myattribs', 'n1', key)).status).toBe(200);
  expect((await member.askAnybody('/confluent-public/os/demo/public.txt')).body).toBe(found);
  expect(member.said).not.toMatch(/defect|a grant failed|a request failed/);
}

const ports = [80, 443] as const;

describe('paths', () => {
  const random = uniform(19);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const ups = [
    ...[
      '..',
      '../',
      '..//',
      '/../',
      '%2e%2e',
      '%2E%2e/',
      '.%2e',
      '%2e.',
      '..%2f',
      '..%2F',
      '%2e%2e%2f',
      '..%5c',
      '..\\',
      '..;/',
    ],
    ...[
      '%252e%252e/',
      '%c0%ae%c0%ae/',
      '..%c0%af',
      '%uff0e%uff0e/',
      '..%00/',
      '.../',
      './',
      '%2e/',
      '//',
      '..%09/',
      '..#/',
      '..?/',
    ],
    ...['\u00ae\u00ae/', 'os/../', 'os/demo/../..', 'os%2fdemo%2f..%2f..%2f', '....//', '..%u2215', '%2e%2e%5c'],
  ];
  const roots = [
    '/confluent-public/',
    '/confluent-public',
    '//confluent-public/',
    '/confluent-public/os/demo/',
    '/',
    '',
    '/confluent-api/',
    '/confluent-api/self/',
    'http://member/confluent-public/',
    'http://member:443@x/',
    '/CONFLUENT-PUBLIC/',
    '/confluent-public%2f',
    '/./confluent-public/',
  ];
  const ends = [
    'private/os/demo/pending/canary',
    'private/os/demo/canary',
    'private%2fos%2fdemo%2fcanary',
    'canary/canary',
    'private/os/demo/pending/rootimg.key',
    'private/os/demo/pending/canary/',
    'private/os/demo/pending/canary?x',
    'PRIVATE/os/demo/canary',
    'private\\os\\demo\\canary',
    'private/os/demo/pending/canary%00.txt',
  ];
  const path = () => {
    // Also straight on, as for a server that takes another directory for the public one.
    const between = Array.from({ length: Math.floor(random() * 6) }, () => pick(ups)).join(pick(['', '/', '']));
    const slash = pick(['', '/', '/']);
    const absolute = random() < 0.1 ? member.tree : '';
    return pick(roots) + between + slash + absolute + slash + pick(ends);
  };

  it.each(ports)(`lead to nothing private, in whatever way they are written, on port %i`, async (port) => {
    const paths = Array.from({ length: many(2_000, 50_000) }, path);
    let answers = 0;
    const asked = (list: readonly string[]) =>
      askForPaths({ port }, list, (said, batch) => {
        answers += said.match(/HTTP\/1\.1 \d{3} /g)?.length ?? 0;
        if (said.includes(canary)) throw new Error(`one of these: ${batch.join(' ')}`);
      });
    const shares = Array.from({ length: 8 }, (_, share) => paths.filter((_path, index) => index % 8 === share));
    await Promise.all(shares.map(asked));
    expect(answers).toBeGreaterThan(paths.length * 0.9);
    // The canary would have been seen: so is a file that is public.
    let seen = '';
    await askForPaths({ port }, ['/confluent-public/os/demo/public.txt'], (said) => {
      seen += said;
    });
    expect(seen).toContain(found);
    await expectWell();
  });
});

describe('requests', () => {
  const headers = () => `Host: m\r\nCONFLUENT_NODENAME: n1\r\nCONFLUENT_APIKEY: ${key}\r\n`;
  const routes = [
    ...[
      'deploycfg2',
      'deploycfg',
      'netcfg',
      'myattribs',
      'sshcert',
      'tlscert',
      'nodelist',
      'updatestatus',
      'scriptlist',
    ],
    ...[
      'remotesyncfiles',
      'remoteconfig/status',
      'profileprivate/pending/rootimg.key',
      'imagekey/x',
      'boottrace',
      'whoami',
    ],
  ];
  const bodies = [
    '',
    'null',
    '[]',
    '"x"',
    '1e999',
    '{',
    `${'['.repeat(20_000)}`,
    `{"a":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_001)}`,
    '{"merge":{},"appendonce":[],"myips":"x"}',
    '{"__proto__":{"x":1},"constructor":{"prototype":1}}',
    'status: [complete',
    'status: &a [*a]\n',
    `status: ${'x'.repeat(20_000)}`,
    '\0\0\0\0',
    'ssh-ed25519 AAAA',
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\nssh-rsa AAAA',
    '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
    Buffer.from(Array.from({ length: 500 }, (_, index) => (index * 37) & 255)).toString('latin1'),
  ];

  it.each(routes)('of whatever content are answered by a line, not by a defect: %s', async (route) => {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
      for (const body of method === 'GET' ? [''] : bodies) {
        const head = `${method} /confluent-api/self/${route} HTTP/1.1\r\n${headers()}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
        const said = await exchange({ port: 443 }, head + body);
        const [, status = ''] = /^HTTP\/1\.1 (\d{3})/.exec(said) ?? [];
        expect({ method, body: body.slice(0, 40), status }).toEqual({
          method,
          body: body.slice(0, 40),
          status: expect.stringMatching(/^[234]/),
        });
      }
    }
    await expectWell();
  });

  it('that are too large, or none, end themselves alone', async () => {
    const get = 'GET /confluent-api/self/myattribs HTTP/1.1\r\n';
    const post = 'POST /confluent-api/self/updatestatus HTTP/1.1\r\n';
    const cases: [string, RegExp][] = [
      [`${get}Host: m\r\n${`X-${'a'.repeat(100)}: ${'b'.repeat(1_000)}\r\n`.repeat(40)}\r\n`, /^HTTP\/1\.1 431/],
      [`${post}${headers()}Content-Length: 2000000\r\n\r\n${'x'.repeat(2_000_000)}`, /^(HTTP\/1\.1 413|$)/],
      [`${post}${headers()}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, /^HTTP\/1\.1 400/],
      [`${post}${headers()}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello`, /^HTTP\/1\.1 400/],
      [`${post}${headers()}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`, /^HTTP\/1\.1 400/],
      [`${get}CONFLUENT_NODENAME: n1\r\n\r\n`, /^HTTP\/1\.1 400/],
      ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', /^HTTP\/1\.1 400/],
      ['GET / HTTP/9.9\r\n\r\n', /^HTTP\/1\.1 (400|505)/],
      [
        `${get}Host: m\r\nCONFLUENT_NODENAME: ${'n'.repeat(5_000)}\r\nCONFLUENT_APIKEY: ${'k'.repeat(5_000)}\r\nConnection: close\r\n\r\n`,
        /^HTTP\/1\.1 401/,
      ],
    ];
    for (const [bytes, answer] of cases)
      expect(await exchange({ port: 443 }, bytes), bytes.slice(0, 80)).toMatch(answer);
    await expectWell();
  });

  // As long as a request may take, and no longer; all of them at once.
  it.concurrent.each([
    { port: 80, begins: 'GET /confluent-public/os/demo/public.txt HTTP/1.1\r\nX: ' },
    { port: 443, begins: 'GET /confluent-public/os/demo/public.txt HTTP/1.1\r\nX: ' },
    { port: 80, begins: '' },
    // A body has twice the time of a head.
    ...(isLong
      ? [
          {
            port: 443,
            begins: 'POST /confluent-api/self/updatestatus HTTP/1.1\r\nHost: m\r\nContent-Length: 5000\r\n\r\n',
          } as const,
        ]
      : []),
  ] as const)(
    'that come a byte at a time, or not at all, are ended, and hinder nobody: port $port, $begins',
    async ({ port, begins }) => {
      const sockets = await Promise.all(Array.from({ length: many(5, 200) }, () => openTo({ port })));
      const ended = sockets.map(
        (socket) => new Promise((resolve) => socket.on('close', resolve).on('error', () => {})),
      );
      for (const socket of sockets) {
        socket.resume();
        if (begins !== '') socket.write(begins);
      }
      const dripping = setInterval(() => {
        for (const socket of sockets) if (begins !== '' && !socket.destroyed) socket.write('x');
      }, 1_000);
      await expectWell();
      await Promise.all(ended);
      clearInterval(dripping);
      await expectWell();
    },
  );
});

describe('port 13001', () => {
  let nextPort = 512;
  let nextHost = 1;
  /** From a port that root alone can have. */
  function grantSocket(): Promise<Socket> {
    nextPort++;
    if (nextPort > highestClientPort) {
      nextPort = 512;
      nextHost++;
    }
    const localAddress = `127.1.${nextHost >> 8}.${nextHost & 255}`;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: grantPort, localAddress, localPort: nextPort });
      socket.once('connect', () => resolve(socket));
      socket.once('error', reject);
    });
  }
  const ending = (socket: Socket) =>
    new Promise<Buffer>((resolve) => {
      const pieces: Buffer[] = [];
      socket.on('data', (bytes: Buffer) => pieces.push(bytes));
      socket.on('error', () => {});
      socket.on('close', () => resolve(Buffer.concat(pieces)));
    });

  it('whatever is damaged on the way, no key is given: the token proves the hash', async () => {
    await member.cli('node', 'add', 'n4');
    const [, token = ''] = (await member.cli('node', 'arm', 'n4', 'once', '--token')).trim().split(' ');
    const integer = pseudoRandomIntegers(4);
    const damaged = (bytes: Buffer): Buffer => {
      const copy = Buffer.from(bytes);
      for (let flips = 1 + integer(3); flips > 0; flips--) copy[integer(copy.length)] = integer(256);
      const cut = integer(3) === 0 ? copy.subarray(0, integer(copy.length)) : copy;
      return cut.equals(bytes) ? Buffer.from([0]) : cut;
    };
    /** @param turn of the node's that is damaged: its request, its hash; none. */
    const ask = async (turn: number | undefined) => {
      const { hash } = right;
      const side = new GrantNode('n4', hash, Buffer.from(token));
      // Each from another address: ten tries from one, and no more are looked at.
      nextHost++;
      const socket = await grantSocket();
      let turns = 0;
      let verdict: string | undefined;
      socket.on('data', (bytes: Buffer) => {
        const { send, verdict: said } = side.receive(bytes);
        verdict ??= said;
        if (send !== undefined) socket.write(turns++ === turn ? damaged(send) : send);
        else socket.end();
        if (turns > (turn ?? 9)) socket.end();
      });
      await ending(socket);
      return verdict;
    };
    const right = newKey();
    for (let round = 0; round < many(300, 5_000); round++) expect(await ask(round % 2)).not.toBe('granted');
    expect(await ask(undefined)).toBe('granted');
    await expectWell();
  });

  it('noise is nobody’s request', async () => {
    const integer = pseudoRandomIntegers(5);
    for (let round = 0; round < many(100, 5_000); round++) {
      const socket = await grantSocket();
      const said = ending(socket);
      socket.once('data', () => socket.end(Buffer.from(Array.from({ length: 1 + integer(300) }, () => integer(256)))));
      await said;
    }
    await expectWell();
  });

  it('what one node has said is worth nothing when it is said again', async () => {
    await member.cli('node', 'add', 'n2');
    await member.cli('node', 'arm', 'n2', 'once');
    const made = newKey();
    const side = new GrantNode('n2', made.hash);
    const sent: Buffer[] = [];
    const first = await grantSocket();
    const over = ending(first);
    first.on('data', (bytes: Buffer) => {
      const { send, verdict } = side.receive(bytes);
      if (send !== undefined) {
        sent.push(Buffer.from(send));
        first.write(send);
      }
      if (verdict !== undefined) first.end();
    });
    await over;
    expect((await member.ask('myattribs', 'n2', made.key)).status).toBe(200);
    await member.cli('node', 'arm', 'n2', 'once');
    const again = await grantSocket();
    const answers = ending(again);
    let turn = 0;
    again.on('data', () => {
      const bytes = sent[turn++];
      if (bytes !== undefined) again.write(bytes);
      else again.end();
    });
    // The banner and another question; not that it is accepted.
    expect(await answers).toHaveLength(8 + 36);
    await member.cli('node', 'disarm', 'n2');
  });

  it('many who say nothing hinder nobody, and are left after a while', async () => {
    const count = many(400, 10_000 - 100);
    const sockets: Socket[] = [];
    for (let batch = 0; batch < count; batch += 100)
      sockets.push(...(await Promise.all(Array.from({ length: Math.min(100, count - batch) }, grantSocket))));
    const ended = sockets.map(ending);
    await member.cli('node', 'add', 'n3');
    await member.cli('node', 'arm', 'n3', 'once');
    expect(await askForKey('n3')).toBeDefined();
    expect((await member.askAnybody('/confluent-public/os/demo/public.txt')).body).toBe(found);
    await Promise.all(ended);
    await member.cli('node', 'arm', 'n3', 'once');
    expect(await askForKey('n3')).toBeDefined();
  });
});

describe('port 1900', () => {
  it('whatever datagram comes, it goes on answering', async () => {
    const random = uniform(1900);
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const question = formatSearch({ names: [{ kind: 'mac', value: '52:54:00:12:34:56' }] });
    for (let round = 0; round < many(2_000, 100_000); round++) {
      const isNoise = round % 2 === 0;
      const bytes = isNoise
        ? Buffer.from(Array.from({ length: Math.floor(random() * 1_400) }, () => Math.floor(random() * 256)))
        : Buffer.from(question);
      for (let flips = Math.floor(random() * 5); flips > 0; flips--)
        if (bytes.length > 0) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      await new Promise((resolve) => socket.send(bytes, discoveryPort, '127.0.0.1', resolve));
    }
    await member.cli('node', 'set', 'n1', 'net.hwaddr=52:54:00:12:34:56');
    const answers: string[] = [];
    socket.on('message', (bytes) => answers.push(bytes.toString()));
    await waitUntil('it answers', async () => {
      socket.send(question, discoveryPort, '127.0.0.1');
      return answers.length > 0;
    });
    socket.close();
    expect(member.said).not.toMatch(/defect/);
  });
});
