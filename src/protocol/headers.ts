/** HTTP headers by which a node says who it is. Upstream's clients write some of them with dashes, too. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const spellings = {
  node: ['confluent_nodename', 'confluent-nodename'],
  key: ['confluent_apikey'],
  /** `uuid=U/mac=M/…`: of a node that does not know its name. */
  ids: ['confluent_ids', 'confluent-ids'],
  /** base64 of grant.ts' proof. */
  proof: ['confluent_crypthmac', 'confluent-crypthmac'],
  /** Which of the member's interfaces is meant, by name or number. */
  interface: ['confluent_mgtiface'],
} as const;

/** Undefined when it is not there, or there twice. */
export function nodeHeader(headers: Headers, name: keyof typeof spellings): string | undefined {
  const found = spellings[name].map((spelling) => headers[spelling]).find((value) => value !== undefined);
  return typeof found === 'string' ? found : undefined;
}

/** What a client of ours sends that does not know its name yet. @param ids as `formatNames` writes them (discovery.ts). */
export function idHeaders(ids: string): Record<string, string> {
  return { CONFLUENT_IDS: ids };
}

/** What a client of ours sends. */
export function nodeHeaders(node: string, key: string): Record<string, string> {
  return { CONFLUENT_NODENAME: node, CONFLUENT_APIKEY: key };
}

/** What came of playbooks, beside their last words: ours, for what these say is for people. */
export const outcomeHeader = 'tetherfs-outcome';
export type PlaybookOutcome = 'done' | 'failed';
