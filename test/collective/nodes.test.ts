import { afterAll, describe, expect, it } from 'vitest';
import { parseNodes } from '../../src/collective/node-import.ts';
import { expandNames, Nodes } from '../../src/collective/nodes.ts';
import { SqliteStore } from '../../src/collective/store/sqlite.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const temp = makeTempDir('nodes');
let stores = 0;
afterAll(() => temp.remove());

async function withNodes(use: (nodes: Nodes, store: SqliteStore) => Promise<unknown>): Promise<void> {
  const store = new SqliteStore(`${temp.path}/${stores++}.sqlite`);
  try {
    await use(new Nodes(store), store);
  } finally {
    await store.close();
  }
}

describe('nodes', () => {
  it('have attributes of their own before those of all', () =>
    withNodes(async (nodes) => {
      await nodes.setDefaults({ 'dns.domain': 'example.org', 'dns.servers': '10.0.0.1' });
      await nodes.add(['n1'], { 'dns.servers': '10.0.0.2' });
      expect(await nodes.resolved('n1')).toEqual({ 'dns.domain': 'example.org', 'dns.servers': '10.0.0.2' });
      await nodes.set(['n1'], { 'dns.servers': undefined });
      expect((await nodes.resolved('n1'))?.['dns.servers']).toBe('10.0.0.1');
    }));

  it('are found by what they are, in whatever case, as long as they are it', () =>
    withNodes(async (nodes) => {
      const mac = '52:54:00:AB:cd:ef';
      await nodes.add(['n1'], {
        'net.hwaddr': mac,
        'net.ib.hwaddr': '52:54:00:00:00:02',
        'id.uuid': '4C4C4544-0042-3010-8044-B4C04F4E4331',
      });
      expect(await nodes.find('mac', mac.toLowerCase())).toBe('n1');
      expect(await nodes.find('mac', '52:54:00:00:00:02')).toBe('n1');
      expect(await nodes.find('uuid', '4c4c4544-0042-3010-8044-b4c04f4e4331')).toBe('n1');
      await nodes.set(['n1'], { 'net.hwaddr': '52:54:00:00:00:03' });
      expect(await nodes.find('mac', mac)).toBeUndefined();
      await nodes.remove(['n1']);
      expect(await nodes.find('mac', '52:54:00:00:00:03')).toBeUndefined();
    }));

  it('two are never the same one', () =>
    withNodes(async (nodes) => {
      await nodes.add(['n1'], { 'net.hwaddr': '52:54:00:00:00:01' });
      await expect(nodes.add(['n2'], { 'net.hwaddr': '52:54:00:00:00:01' })).rejects.toThrow(/is node n1's/);
      const same = { 'net.hwaddr': '52:54:00:00:00:02' };
      const both = new Map([
        ['n3', same],
        ['n4', same],
      ]);
      await expect(nodes.setEach(both, true)).rejects.toThrow(/two nodes cannot have that/);
      expect((await nodes.list()).map(({ name }) => name)).toEqual(['n1']);
    }));

  it('are added and changed all, or none of a batch', () =>
    withNodes(async (nodes) => {
      await nodes.add(['n2'], {});
      await expect(nodes.add(['n1', 'n2', 'n3'], {})).rejects.toThrow(/there is a node n2 already/);
      await expect(nodes.set(['n2', 'n9'], { 'dns.domain': 'x.org' })).rejects.toThrow(/there is no node n9/);
      expect(await nodes.list()).toEqual([{ name: 'n2', attributes: {} }]);
    }));

  it('of more than a batch none is made when one is there, or changed when one is not', () =>
    withNodes(async (nodes) => {
      await nodes.add(['n250'], {});
      await expect(nodes.add(expandNames(['n[1-250]']), {})).rejects.toThrow(/there is a node n250 already/);
      await expect(nodes.set(expandNames(['n[250-500]']), { 'dns.domain': 'x.org' })).rejects.toThrow(/no node n251/);
      await expect(nodes.remove(expandNames(['n[250-500]']))).rejects.toThrow(/no node n251/);
      expect(await nodes.list()).toEqual([{ name: 'n250', attributes: {} }]);
    }));

  it('a thousand at once, in the order in which people count', () =>
    withNodes(async (nodes) => {
      await nodes.add(expandNames(['n[1-1000]']), { 'deployment.pendingprofile': 'demo' });
      const names = (await nodes.list()).map(({ name }) => name);
      expect(names.slice(0, 3)).toEqual(['n1', 'n2', 'n3']);
      expect(names.at(-1)).toBe('n1000');
    }));

  it.each([
    [{ 'net.ipv4_address': '10.0.0' }, /^net.ipv4_address: "10.0.0" will not do: it is its address, e.g. 10.0.0.5\/24/],
    [{ 'net.hwaddr': 'aa:bb' }, /^net.hwaddr: "aa:bb" will not do: .*, e.g. 52:54:00:12:34:56$/],
    [{ 'deployment.pendingprofile': '../../etc' }, /the name of a profile/],
    [{ 'deployment.pendngprofile': 'demo' }, /no such attribute/],
    [{ 'dns.servers': 'one,two' }, /addresses/],
    [{ 'crypted.rootpassword': 'secret' }, /^crypted.rootpassword: what was given will not do: .*\$6\$/],
    [{ 'deployment.useinsecureprotocols': 'sometimes' }, /always, firmware, never/],
    [{ 'ntp.servers': 'a\nb' }, /ntp.servers/],
  ])('%o makes no sense, and a line says what would', (attributes, words) =>
    withNodes(async (nodes) => {
      await expect(nodes.add(['n1'], attributes)).rejects.toThrow(words);
      expect(await nodes.list()).toEqual([]);
    }),
  );

  it('what only one can have is not given to several', () =>
    withNodes(async (nodes) => {
      const address = { 'net.ipv4_address': '10.0.0.5/24' };
      const refused = /net.ipv4_address: several nodes cannot have the same: say it for each, or "node import"/;
      await expect(nodes.add(['n1', 'n2'], address)).rejects.toThrow(refused);
      await nodes.add(['n1', 'n2'], { 'net.ipv4_gateway': '10.0.0.1' });
      await expect(nodes.set(['n1', 'n2'], address)).rejects.toThrow(refused);
      await expect(nodes.setDefaults(address)).rejects.toThrow(refused);
      await nodes.set(['n1'], address);
      await nodes.set(['n1', 'n2'], { 'net.ipv4_address': undefined });
      expect((await nodes.get('n1'))?.attributes).toEqual({ 'net.ipv4_gateway': '10.0.0.1' });
    }));
});

describe('names of nodes', () => {
  it.each([
    ['n1', ['n1']],
    ['n1,n2', ['n1', 'n2']],
    ['n[1-3]', ['n1', 'n2', 'n3']],
    ['n[08-11]', ['n08', 'n09', 'n10', 'n11']],
    ['r[1-2]n[1,3]', ['r1n1', 'r1n3', 'r2n1', 'r2n3']],
    ['n[1-2]-ib,m1', ['n1-ib', 'n2-ib', 'm1']],
  ])('%s', (text, names) => expect(expandNames([text])).toEqual(names));

  it.each(['', 'n[3-1]', 'n[1-', 'n[]', 'n[a-b]', '../n1', 'n1;n2', 'n[1-999999]n[1-999999]', '-n'])(
    '"%s" are none',
    (text) => {
      expect(() => expandNames([text])).toThrow(/node|range/);
    },
  );
});

describe('nodes of a file', () => {
  const expected = new Map([
    ['n1', { 'net.hwaddr': '52:54:00:00:00:01', 'net.ipv4_address': '10.0.0.1/24' }],
    ['n2', { 'net.hwaddr': '52:54:00:00:00:02' }],
  ]);

  it.each([
    [
      'YAML',
      'n1:\n  net.hwaddr: 52:54:00:00:00:01\n  net.ipv4_address: 10.0.0.1/24\nn2: {net.hwaddr: "52:54:00:00:00:02"}\n',
    ],
    [
      'CSV',
      '# of the rack\nnode,net.hwaddr,net.ipv4_address\nn1,52:54:00:00:00:01,10.0.0.1/24\nn2,52:54:00:00:00:02,\n',
    ],
    [
      'what nodeattrib prints',
      'n1: net.hwaddr: 52:54:00:00:00:01\nn1: net.ipv4_address: 10.0.0.1/24 (inherited from group rack1)\nn1: location.room: \nn2: net.hwaddr: 52:54:00:00:00:02\nn2: crypted.selfapikey: ********\nn2: deployment.apiarmed: continuous\n',
    ],
  ])('%s', (_form, text) => {
    const { nodes } = parseNodes(text, 'file');
    expect(nodes).toEqual(expected);
  });

  it.each([
    [
      'a spreadsheet’s',
      '\ufeffnode;net.hwaddr;net.ipv4_address\r\nn1;52:54:00:00:00:01;10.0.0.1/24\r\nn2;52:54:00:00:00:02;\r\n',
    ],
    ['with tabs', 'node\tnet.hwaddr\tnet.ipv4_address\nn1\t52:54:00:00:00:01\t10.0.0.1/24\nn2\t52:54:00:00:00:02\t\n'],
  ])('CSV: %s', (_form, text) => expect(parseNodes(text, 'file').nodes).toEqual(expected));

  it('says how many secrets it had not', () => {
    expect(parseNodes('n1: crypted.rootpassword: ********\nn1: groups: all\n', 'file').leftOut).toBe(1);
  });

  it.each([
    ['n1: net.hwaddr: x\nwhat is this', /file, line 2: NODE: ATTRIBUTE: VALUE/],
    ['- n1\n- n2\n', /map of nodes/],
    ['node,net.hwaddr\nn1,a,b,c\n', /file: /],
    ['node,net.hwaddr\nn1,52:54:00:00:00:01\nn1,52:54:00:00:00:02\n', /file: n1 is there twice/],
    ['n1:\n  dns.domain: a\nn1:\n  dns.domain: b\n', /Map keys must be unique/],
    ['../n1:\n  a.b: c\n', /\.\.\/n1: a node is called/],
    ['', /no node in it|it is neither YAML/],
    ['a: [b\n', /no YAML, CSV/],
    ['n1: {net: {hwaddr: "52:54:00:00:00:01"}}\n', /file: n1: net is a map; write its names with dots/],
  ])('%j: a line says what is wrong', (text, words) => expect(() => parseNodes(text, 'file')).toThrow(words));
});
