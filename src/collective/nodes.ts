/** The nodes of a site in the store: attributes, identities by which they are found, and how people write several names at once. */
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import { compareNames } from '../base/natural-order.ts';
import { nodeName } from '../protocol/grant.ts';
import { type Attributes, checkAttribute, insistOnShareable, listed } from './attributes.ts';
import { defaultsKey, grantsKey, identityKey, nodeKey, nodePrefix } from './keys.ts';
import { type Change, change, type Store } from './store/contract.ts';

export interface Node {
  name: string;
  /** Its own, without the defaults. */
  attributes: Attributes;
}

/** A new value; undefined takes the attribute away. */
export type AttributeChanges = Readonly<Record<string, string | undefined>>;

/** How many changes go into one transaction. */
const batch = 200;

export class Nodes {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async get(name: string): Promise<Node | undefined> {
    const entry = await this.#store.get(nodeKey(name));
    return entry && { name, attributes: entry.value as Attributes };
  }

  /** @throws TetherfsError NO_NODE */
  async insistOn(name: string): Promise<Node> {
    const node = await this.get(name);
    if (node === undefined)
      throw new TetherfsError('NO_NODE', `there is no node ${name}; "tetherfs collective node list" shows all`);
    return node;
  }

  async list(): Promise<Node[]> {
    const entries = await this.#store.list(nodePrefix);
    const nodes = entries.map(({ key, value }) => ({
      name: key.slice(nodePrefix.length),
      attributes: value as Attributes,
    }));
    return nodes.sort((a, b) => compareNames(a.name, b.name));
  }

  async defaults(): Promise<Attributes> {
    return ((await this.#store.get(defaultsKey))?.value ?? {}) as Attributes;
  }

  /** Its own, and the defaults for what it has not. Undefined when there is no such node. */
  async resolved(name: string): Promise<Attributes | undefined> {
    const node = await this.get(name);
    return node && { ...(await this.defaults()), ...node.attributes };
  }

  /** The node that has that UUID or MAC address. */
  async find(kind: 'uuid' | 'mac', value: string): Promise<string | undefined> {
    const entry = await this.#store.get(identityKey(kind, value.toLowerCase()));
    return entry && (entry.value as { node: string }).node;
  }

  /** @throws UsageError, TetherfsError NODE_EXISTS, IDENTITY_TAKEN; nothing has changed then. */
  async add(names: readonly string[], attributes: AttributeChanges, isStrict = true): Promise<void> {
    for (const name of names)
      if (!nodeName.test(name)) throw new UsageError(`${name}: a node is called as a host may be`);
    check(attributes, isStrict);
    if (names.length > 1) insistOnShareable(attributes);
    const insistOnNew = async (name: string) => {
      if ((await this.get(name)) !== undefined)
        throw new TetherfsError('NODE_EXISTS', `there is a node ${name} already; "node set" changes it`);
    };
    for (const name of names) await insistOnNew(name);
    await this.#inBatches(names, async (name) => {
      await insistOnNew(name);
      return this.#changesOf(name, {}, 0, attributes);
    });
  }

  /** @throws as `add`, TetherfsError NO_NODE. */
  async set(names: readonly string[], attributes: AttributeChanges, isStrict = true): Promise<void> {
    for (const name of names)
      if (!nodeName.test(name)) throw new UsageError(`${name}: a node is called as a host may be`);
    check(attributes, isStrict);
    if (names.length > 1) insistOnShareable(attributes);
    for (const name of names) await this.insistOn(name);
    await this.#inBatches(names, async (name) => {
      const entry = await this.#store.get(nodeKey(name));
      if (entry === undefined) await this.insistOn(name);
      return this.#changesOf(name, (entry?.value ?? {}) as Attributes, entry?.revision ?? 0, attributes);
    });
  }

  /** Each its own; made where it is not there. @param isStrict whether we must know every attribute. @returns those that were made. @throws UsageError that names the node */
  async setEach(nodes: ReadonlyMap<string, AttributeChanges>, isStrict: boolean): Promise<string[]> {
    for (const [name, attributes] of nodes) {
      try {
        check(attributes, isStrict);
      } catch (cause) {
        throw new UsageError(`${name}: ${describeError(cause)}`, { cause });
      }
    }
    const before = new Set((await this.list()).map(({ name }) => name));
    await this.#inBatches([...nodes.keys()], async (name) => {
      const entry = await this.#store.get(nodeKey(name));
      return this.#changesOf(name, (entry?.value ?? {}) as Attributes, entry?.revision ?? 0, nodes.get(name) ?? {});
    });
    return [...nodes.keys()].filter((name) => !before.has(name));
  }

  async setDefaults(attributes: AttributeChanges): Promise<void> {
    check(attributes, true);
    insistOnShareable(attributes);
    await change(this.#store, async () => {
      const entry = await this.#store.get(defaultsKey);
      const value = merged((entry?.value ?? {}) as Attributes, attributes);
      return { changes: [{ key: defaultsKey, revision: entry?.revision ?? 0, value }], result: undefined };
    });
  }

  /** With its key, and what it is found by. @throws TetherfsError NO_NODE */
  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) await this.insistOn(name);
    await this.#inBatches(names, async (name) => {
      const entry = await this.#store.get(nodeKey(name));
      if (entry === undefined) await this.insistOn(name);
      const changes = await this.#changesOf(name, (entry?.value ?? {}) as Attributes, entry?.revision ?? 0, {}, true);
      const grants = await this.#store.get(grantsKey(name));
      return [...changes, ...(grants ? [{ key: grants.key, revision: grants.revision, value: undefined }] : [])];
    });
  }

  /** All of a batch, or none of it. */
  async #inBatches(names: readonly string[], changesOf: (name: string) => Promise<Change[]>): Promise<void> {
    const all = [...new Set(names)];
    for (let first = 0; first < all.length; first += batch) {
      const some = all.slice(first, first + batch);
      await change(this.#store, async () => {
        const changes: Change[] = [];
        for (const name of some) changes.push(...(await changesOf(name)));
        const twice = changes.find(({ key }, index) => changes.findIndex((other) => other.key === key) !== index);
        if (twice !== undefined)
          throw new TetherfsError(
            'IDENTITY_TAKEN',
            `${twice.key.replace(/^by\/\w+\//, '')}: two nodes cannot have that`,
          );
        return { changes, result: undefined };
      });
    }
  }

  async #changesOf(
    name: string,
    before: Attributes,
    revision: number,
    changes: AttributeChanges,
    isGone = false,
  ): Promise<Change[]> {
    const after = isGone ? {} : merged(before, changes);
    const [had, has] = [identitiesOf(before), identitiesOf(after)];
    const all: Change[] = [{ key: nodeKey(name), revision, value: isGone ? undefined : after }];
    for (const key of had.filter((identity) => !has.includes(identity))) {
      const entry = await this.#store.get(key);
      if (entry !== undefined) all.push({ key, revision: entry.revision, value: undefined });
    }
    for (const key of has.filter((identity) => !had.includes(identity))) {
      const entry = await this.#store.get(key);
      const owner = entry && (entry.value as { node: string }).node;
      if (owner !== undefined && owner !== name) {
        throw new TetherfsError(
          'IDENTITY_TAKEN',
          `${key.replace(/^by\/\w+\//, '')} is node ${owner}'s: take it from that first`,
        );
      }
      all.push({ key, revision: entry?.revision ?? 0, value: { node: name } });
    }
    return all;
  }
}

/** Attributes of all other nodes. */
export async function othersThan(node: string, nodes: Nodes): Promise<Attributes[]> {
  return (await nodes.list()).flatMap(({ name, attributes }) => (name === node ? [] : [attributes]));
}

function check(attributes: AttributeChanges, isStrict: boolean): void {
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined) checkAttribute(name, value, isStrict);
}

function merged(before: Attributes, changes: AttributeChanges): Attributes {
  const all = { ...before, ...changes };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value]])),
  );
}

function identitiesOf(attributes: Attributes): string[] {
  const macs = Object.entries(attributes)
    .filter(([name]) => /^net\.(?:[A-Za-z0-9_-]+\.)?hwaddr$/.test(name))
    .flatMap(([, value]) => listed(value));
  const uuid = attributes['id.uuid'];
  return [
    ...(uuid === undefined ? [] : [identityKey('uuid', uuid.toLowerCase())]),
    ...[...new Set(macs)].map((mac) => identityKey('mac', mac.toLowerCase())),
  ];
}

const mostNames = 100_000;

/** `n1`, `n1,n2`, `n[1-200]`, `r[1-2]n[01-16]`. @throws UsageError */
export function expandNames(words: readonly string[]): string[] {
  const names = words.flatMap((word) => word.split(/,(?![^[]*\])/)).flatMap(expand);
  if (names.length === 0) throw new UsageError('give the name of a node');
  return [...new Set(names)];
}

function expand(word: string): string[] {
  const [, before = '', ranges, after = ''] = /^([^[\]]*)\[([^[\]]+)\](.*)$/.exec(word) ?? [];
  if (ranges === undefined) {
    if (!nodeName.test(word))
      throw new UsageError(`${word}: a node is called as a host may be; several: n1,n2 or n[1-20]`);
    return [word];
  }
  const numbers = ranges.split(',').flatMap((range) => {
    const [, first = '', last = first] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range) ?? [];
    const count = Number(last) - Number(first) + 1;
    if (first === '' || count < 1 || count > mostNames)
      throw new UsageError(`${word}: [${range}] is no range; as in n[1-20]`);
    return Array.from({ length: count }, (_, index) => String(Number(first) + index).padStart(first.length, '0'));
  });
  const rests = after === '' ? [''] : expandRest(after);
  if (numbers.length * rests.length > mostNames) throw new UsageError(`${word}: more than ${mostNames} nodes`);
  return numbers.flatMap((number) => rests.map((rest) => before + number + rest));
}

function expandRest(after: string): string[] {
  return after.includes('[') ? expand(`x${after}`).map((name) => name.slice(1)) : [after];
}
