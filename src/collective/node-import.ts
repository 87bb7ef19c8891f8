/** Nodes of a file: YAML, CSV, or the lines that confluent's nodeattrib prints. */
import { parse as parseCsv } from 'csv-parse/sync';
import { parse as parseAnyYaml } from 'yaml';
import { describeError, UsageError } from '../base/errors.ts';
import { nodeName } from '../protocol/grant.ts';
import type { AttributeChanges } from './nodes.ts';

export interface ImportedNodes {
  /** Of confluent's nodeattrib: it prints more than we know, which is kept. Of other forms, what we do not know is a mistake. */
  isConfluents: boolean;
  nodes: Map<string, AttributeChanges>;
  /** Secrets that are shown as stars. */
  leftOut: number;
}

/** Characters of a file: some ten thousand nodes. */
const largest = 64 * 1024 * 1024;
const stars = /^\*+$/;
/** `n1: net.ipv4_address: 10.0.0.1`; what is inherited has a remark behind it. */
const attributeLine = /^([^\s:]+): ([a-z][\w.-]*):(?: (.*))?$/;
const remark = / \((?:inherited from group [^()]*|derived from expression "[^"]*")\)$/;

/** @throws UsageError that names file and line. */
export function parseNodes(given: string, file: string): ImportedNodes {
  // Spreadsheets begin with a byte order mark.
  const text = given.replace(/^\ufeff/, '');
  if (text.length > largest) throw new UsageError(`${file}: more than ${largest} characters`);
  const [first = ''] = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const [, delimiter] = /^"?node"?([,;\t])/.exec(first) ?? [];
  const isConfluents = delimiter === undefined && attributeLine.test(first.trimEnd());
  const rows =
    delimiter !== undefined
      ? fromCsv(text, file, delimiter)
      : isConfluents
        ? fromLines(text, file)
        : fromYaml(text, file);
  const nodes = new Map<string, Record<string, string | undefined>>();
  let leftOut = 0;
  for (const { node, attribute, value } of rows) {
    if (!nodeName.test(node)) throw new UsageError(`${file}: ${node}: a node is called as a host may be`);
    const attributes = nodes.get(node) ?? {};
    nodes.set(node, attributes);
    if (stars.test(value)) leftOut++;
    // Whether a node may get a key is not a file's to say.
    else if (attribute !== '' && value !== '' && attribute !== 'deployment.apiarmed') attributes[attribute] = value;
  }
  if (nodes.size === 0) throw new UsageError(`${file}: there is no node in it`);
  return { nodes, leftOut, isConfluents };
}

interface Row {
  node: string;
  attribute: string;
  value: string;
}

function fromLines(text: string, file: string): Row[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const [, node, attribute, value = ''] = attributeLine.exec(line.trimEnd()) ?? [];
    if (node === undefined || attribute === undefined) {
      throw new UsageError(`${file}, line ${index + 1}: NODE: ATTRIBUTE: VALUE is its form`);
    }
    return [{ node, attribute, value: value.replace(remark, '').trim() }];
  });
}

function fromCsv(text: string, file: string, delimiter: string): Row[] {
  let records: string[][];
  try {
    records = parseCsv(text, { comment: '#', skip_empty_lines: true, trim: true, delimiter });
  } catch (cause) {
    throw new UsageError(`${file}: ${describeError(cause)}`, { cause });
  }
  const [[, ...attributes] = [], ...rest] = records;
  const named = new Set<string>();
  for (const [node = ''] of rest) {
    if (named.has(node)) throw new UsageError(`${file}: ${node} is there twice: which line is right?`);
    named.add(node);
  }
  return rest.flatMap(([node = '', ...values]) => [
    { node, attribute: '', value: '' },
    ...values.map((value, index) => ({ node, attribute: attributes[index] ?? '', value })),
  ]);
}

function fromYaml(text: string, file: string): Row[] {
  let found: unknown;
  try {
    found = parseAnyYaml(text, { maxAliasCount: 100 });
  } catch (cause) {
    throw new UsageError(
      `${file}: is no YAML, CSV ("node,…" first) or nodeattrib: ${describeError(cause).slice(0, 120)}`,
      { cause },
    );
  }
  if (typeof found !== 'object' || found === null || Array.isArray(found)) {
    throw new UsageError(
      `${file}: it is neither YAML (a map of nodes, each a map of attributes) nor CSV (its first line: node,ATTRIBUTE,…), nor has it lines NODE: ATTRIBUTE: VALUE`,
    );
  }
  return Object.entries(found).flatMap(([node, attributes]) => {
    if (typeof attributes !== 'object' || Array.isArray(attributes))
      throw new UsageError(`${file}: ${node} must be a map of attributes`);
    const values = Object.entries((attributes ?? {}) as Record<string, unknown>);
    return [
      { node, attribute: '', value: '' },
      ...values.map(([attribute, value]) => {
        if (typeof value === 'object' && value !== null && !Array.isArray(value))
          throw new UsageError(
            `${file}: ${node}: ${attribute} is a map; write its names with dots, such as net.hwaddr`,
          );
        return { node, attribute, value: textOf(value) };
      }),
    ];
  });
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(',');
  return value === null || value === undefined ? '' : String(value);
}
