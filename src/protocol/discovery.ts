/**
 * How a node finds its members (copernicus' protocol, UDP port 1900): a datagram that looks like SSDP, to everybody on the link, with what the node is known
 * by; members that know it answer with its name and their time. Texts in, facts out; no sockets.
 */
export const discoveryPort = 1900;
export const discoveryGroups = { ipv4: '239.255.255.250', ipv6: 'ff02::c' } as const;

const head = 'M-SEARCH * HTTP/1.1\r\nST: urn:xcat.org:service:confluent:';
/** Of a question, in bytes: what upstream's program has room for. */
const longestQuestion = 1024;
/** Of an answer: there is nothing in it that needs more. */
const longestAnswer = 2048;
/** Names in one question at most: each may cost a look into the store. */
const mostNames = 64;
/** … and for what takes as much room: so many characters of them. */
const longestNames = 900;

export interface Search {
  /** Of the site that the node belongs to; a member of another is not meant. */
  confluentUuid?: string;
  /** By which a member may know the node, in the order of the question: lower case. */
  names: { kind: 'uuid' | 'mac'; value: string }[];
  /** Every member is asked whether it is there. */
  all: boolean;
}

/** Undefined when the datagram is none of ours. */
export function parseSearch(datagram: Uint8Array): Search | undefined {
  if (datagram.length > longestQuestion) return undefined;
  const text = Buffer.from(datagram).toString('latin1');
  if (!text.startsWith(head)) return undefined;
  const [line = ''] = text.slice(head.length).split('\r\n', 1);
  const search: Search = { names: [], all: false };
  for (const segment of line.split('/')) {
    const equals = segment.indexOf('=');
    const name = segment.slice(0, equals).trim();
    const value = segment
      .slice(equals + 1)
      .trim()
      .toLowerCase();
    if (name === 'confluentuuid') search.confluentUuid = value;
    else if (name === 'allconfluent') search.all = value === '1';
    else if ((name === 'uuid' || name === 'mac') && value !== '' && search.names.length < mostNames)
      search.names.push({ kind: name, value });
  }
  return search;
}

export function formatSearch({ confluentUuid, names }: Omit<Search, 'all'>): Buffer {
  const site = confluentUuid === undefined ? [] : [`confluentuuid=${confluentUuid}`];
  const segments = [...site, ...(names.length > 0 ? [formatNames(names)] : [])];
  return Buffer.from(head + segments.map((segment) => `/${segment}`).join(''), 'latin1');
}

/** `uuid=U/mac=M/…`: as many as there is room for in a question, the first first. */
export function formatNames(names: Search['names']): string {
  let text = '';
  for (const { kind, value } of names.slice(0, mostNames)) {
    const longer = `${text}${text && '/'}${kind}=${value}`;
    if (longer.length > longestNames) break;
    text = longer;
  }
  return text;
}

export interface Found {
  node: string;
  /** Of the member's clock, ms since 1970: good enough for TLS, not more. */
  time: number;
  /** The member's own interface by which it was asked: it says so to link-local peers. */
  interfaceIndex?: number;
  /** Whether that is the network that the node's name lies in. */
  isDefault: boolean;
}

export function formatFound({ node, time, interfaceIndex, isDefault }: Found): Buffer {
  const lines = [
    'HTTP/1.1 200 OK',
    `NODENAME: ${node}`,
    `CURRTIME: ${Math.floor(time / 1000)}`,
    `CURRMSECS: ${Math.floor(time % 1000)}`,
    ...(interfaceIndex === undefined ? [] : [`MGTIFACE: ${interfaceIndex}`]),
    ...(isDefault ? ['DEFAULTNET: 1'] : []),
  ];
  return Buffer.from(lines.map((line) => `${line}\r\n`).join(''), 'latin1');
}

/** Undefined when it is no answer, or one without a name. */
export function parseFound(datagram: Uint8Array): Found | undefined {
  if (datagram.length > longestAnswer) return undefined;
  const [status, ...lines] = Buffer.from(datagram).toString('latin1').split('\r\n');
  if (status !== 'HTTP/1.1 200 OK') return undefined;
  const fields = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const node = fields.get('NODENAME');
  if (node === undefined || node === '') return undefined;
  const seconds = wholeNumber(fields.get('CURRTIME')) ?? 0;
  const interfaceIndex = wholeNumber(fields.get('MGTIFACE'));
  return {
    node,
    time: seconds * 1000 + Math.min(999, wholeNumber(fields.get('CURRMSECS')) ?? 0),
    ...(interfaceIndex !== undefined && { interfaceIndex }),
    isDefault: fields.get('DEFAULTNET') === '1',
  };
}

/** The answer to who asks for all members. */
export const present = Buffer.from('HTTP/1.1 200 OK\r\n\r\nCONFLUENT: PRESENT', 'latin1');

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : undefined;
}
