/**
 * What a node boots from, and how: kernel arguments `tetherfs.NAME=VALUE`, and /etc/tetherfs/boot.yaml in the initramfs with the same names as keys.
 * An argument takes the place of the file's. A name that is not known is an error: what was misspelt would be missing.
 */
import * as z from 'zod';
import { UsageError } from '../base/errors.ts';
import { isFileUrl, parseFileUrl, shownUrl } from '../base/file-url.ts';
import { parseSize } from '../base/size.ts';
import { imageMethodOfCommandLine, kernelArguments } from './command-line.ts';
import type { SaidMethod } from './image-method.ts';
import { parseYaml } from './yaml.ts';

export const bootFile = '/etc/tetherfs/boot.yaml';
const decryptions = ['auto', 'dm-crypt', 'tetherfs'] as const;

/** Each value as it is written on the kernel command line. */
const words = z.strictObject({
  members: z.string().optional(),
  digest: z.string().optional(),
  'ca-file': z.string().optional(),
  zram: z.string().optional(),
  decryption: z.enum(decryptions, { error: `say one of ${decryptions.join(', ')}` }).default('auto'),
  'insecure-key-file': z.string().optional(),
  api: z.string().optional(),
  node: z.string().optional(),
  'tpm.pcrs': z.string().optional(),
});
type Words = z.input<typeof words>;

export interface ZramSettings {
  /** Bytes of the device, before compression, or a share of RAM. */
  readonly size: { readonly bytes: number } | { readonly share: number };
  /** A name of the kernel's; its own choice when absent. */
  readonly algorithm: string | undefined;
  /** Bytes that it takes at most, compressed. */
  readonly limit: number | undefined;
}

/** Who says what this node is to be, and gives the key of its image. */
export interface ApiSettings {
  /** Addresses of members, with zones; or everybody near is asked who they are; or a file in the form of confluent.info has them. */
  readonly members: 'discover' | readonly [string, ...string[]] | { readonly infoFile: string };
  /** What this node is called; undefined: they know it who are asked. */
  readonly node: string | undefined;
  /** PCRs of the TPM that the node's key is sealed by, besides 15. */
  readonly tpmPcrs: readonly number[];
}

export interface BootSettings {
  /** URL of the image on each member; with `api` there may be none: then the members say. */
  readonly members: readonly string[];
  /** Undefined: nobody is asked. */
  readonly api: ApiSettings | undefined;
  /** `sha256:HEX`. */
  readonly digest: string | undefined;
  readonly caFile: string | undefined;
  readonly zram: ZramSettings;
  readonly decryption: (typeof decryptions)[number];
  readonly insecureKeyFile: string | undefined;
  readonly imageMethod: SaidMethod;
  /** `init=`: what is to become process 1 instead of the usual ones. */
  readonly init: string | undefined;
}

/**
 * @param commandLine text of /proc/cmdline. @param yaml text of boot.yaml; undefined when there is none.
 * @throws UsageError that names the argument or key, and what to write.
 */
export function readBootSettings(commandLine: string, yaml: string | undefined): BootSettings {
  const ofFile = wordsOfFile(yaml);
  const parsed = words.safeParse({ ...ofFile, ...wordsOfCommandLine(commandLine) });
  if (!parsed.success) throw new UsageError(describeIssue(parsed.error.issues[0], ofFile));
  const {
    members,
    digest,
    zram,
    decryption,
    api,
    node,
    'ca-file': caFile,
    'insecure-key-file': insecureKeyFile,
  } = parsed.data;
  if (insecureKeyFile !== undefined && api !== undefined) {
    throw new UsageError(
      'tetherfs.insecure-key-file= is refused where tetherfs.api= names who gives the key: remove one of them',
    );
  }
  const apiSettings = parseApi(api, node, parsed.data['tpm.pcrs']);
  const urls = parseMembers(members);
  if (urls.length === 0 && apiSettings === undefined) {
    throw new UsageError(
      `where is the image? Give its URL on each member: ${prefix}members=http://10.0.0.1/…/rootimg.sfs,http://10.0.0.2/…, or ${prefix}api=discover`,
    );
  }
  const settings: BootSettings = {
    members: urls,
    api: apiSettings,
    digest,
    caFile,
    zram: parseZram(zram ?? defaultZram),
    decryption,
    insecureKeyFile,
    imageMethod: imageMethodOfCommandLine(commandLine) ?? { method: 'tethered', word: 'tethered' },
    init: kernelArguments(commandLine).findLast(({ name }) => name === 'init')?.value,
  };
  const plain = urls.find((url) => !/^https:/i.test(url));
  if (digest === undefined && plain !== undefined && api === undefined) {
    throw new UsageError(`${shownUrl(plain)}: bytes over http:// need ${prefix}digest=sha256:… to be trusted`);
  }
  return settings;
}

const prefix = 'tetherfs.';
const defaultZram = '50%';

function wordsOfCommandLine(text: string): Words {
  const ours = kernelArguments(text).filter(({ name }) => name.startsWith(prefix));
  return Object.fromEntries(ours.map(({ name, value = '' }) => [name.slice(prefix.length), value]));
}

function wordsOfFile(yaml: string | undefined): Words {
  if (yaml === undefined) return {};
  const found = parseYaml(yaml, bootFile) ?? new Map();
  if (!(found instanceof Map)) {
    throw new UsageError(`${bootFile}: it must be a map of names, such as "members: [http://10.0.0.1/…/rootimg.sfs]"`);
  }
  // A key without a value says nothing.
  const said = [...found].filter(([, value]) => value !== null);
  return Object.fromEntries(said.map(([key, value]) => [String(key), textOf(String(key), value)]));
}

/** A list is written with commas on the command line. */
function textOf(key: string, value: unknown): string {
  const values = Array.isArray(value) ? value : [value];
  const wrong = values.find((one) => typeof one === 'object');
  if (wrong !== undefined) throw new UsageError(`${bootFile}: ${key}: give a text, or a list of them`);
  return values.map(String).join(',');
}

/** What is said in the file is looked for there. */
function describeIssue(issue: z.core.$ZodIssue | undefined, ofFile: Words): string {
  const nameOf = (key: string) => (key in ofFile ? `${bootFile}: ${key}` : `${prefix}${key}=`);
  if (issue?.code !== 'unrecognized_keys') return `${nameOf(String(issue?.path[0]))}: ${issue?.message}`;
  const known = Object.keys(words.shape);
  const prefixed = issue.keys.find((key) => key in ofFile && key.startsWith(prefix));
  if (prefixed !== undefined)
    return `${bootFile}: ${prefixed}: in this file without ${prefix}: ${prefixed.slice(prefix.length)}`;
  return `${issue.keys.map(nameOf).join(', ')}: no such setting; there are ${known.map((key) => prefix + key).join(', ')}`;
}

function parseMembers(text: string | undefined): BootSettings['members'] {
  const urls = listed(text);
  for (const url of urls) {
    if (!isFileUrl(url)) throw new UsageError(`${prefix}members=: ${shownUrl(url)} is no http:// or https:// URL`);
    parseFileUrl(url);
  }
  return urls;
}

const everybody = 'discover';

function parseApi(
  text: string | undefined,
  node: string | undefined,
  pcrs: string | undefined,
): ApiSettings | undefined {
  const tpmPcrs = parsePcrs(pcrs);
  const [first, ...others] = listed(text).map((word) => word.replace(/^\[(.*)\]$/, '$1'));
  if (first === undefined) {
    if (node === undefined) return undefined;
    throw new UsageError(`${prefix}node=${node}: say ${prefix}api=${everybody} too, or nobody is asked`);
  }
  if (first === everybody && others.length === 0) return { members: everybody, node, tpmPcrs };
  if (first.startsWith('/') && others.length === 0) return { members: { infoFile: first }, node, tpmPcrs };
  const wrong = [first, ...others].find((word) => !/^[\w.:%-]+$/.test(word));
  if (wrong !== undefined)
    throw new UsageError(
      `${prefix}api=: ${wrong} is no address; give ${everybody}, addresses of members with commas between, or a file (/etc/confluent/confluent.info)`,
    );
  return { members: [first, ...others], node, tpmPcrs };
}

/** TPMs of PCs have 24. */
const mostPcr = 23;

function parsePcrs(text: string | undefined): number[] {
  return listed(text).map((word) => {
    if (!/^\d{1,2}$/.test(word) || Number(word) > mostPcr)
      throw new UsageError(`${prefix}tpm.pcrs=: ${word} is no PCR; give numbers from 0 to ${mostPcr}, such as 7,15`);
    return Number(word);
  });
}

function listed(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** `50%`, `2GiB`, `2GiB,algorithm=zstd,limit=1GiB`. */
function parseZram(text: string): ZramSettings {
  const [sizeText = '', ...options] = text.split(',');
  const known = new Map<string, string>();
  for (const option of options) {
    const [name = '', value = ''] = option.split(/=(.*)/s);
    if ((name !== 'algorithm' && name !== 'limit') || value === '') {
      throw new UsageError(`${prefix}zram=: "${option}" is neither algorithm=NAME nor limit=SIZE`);
    }
    known.set(name, value);
  }
  const limit = known.get('limit');
  const algorithm = known.get('algorithm');
  if (algorithm !== undefined && !/^[a-z0-9-]+$/.test(algorithm)) {
    throw new UsageError(`${prefix}zram=: algorithm=${algorithm} is no name of the kernel's, such as zstd`);
  }
  return {
    size: parseShare(sizeText),
    algorithm,
    limit: limit === undefined ? undefined : parseLimit(limit),
  };
}

/** A file system that meets its limit is shut down by its driver: one that an empty one meets makes no sense. */
const leastLimit = 64 * 1024 ** 2;

function parseLimit(text: string): number {
  const limit = parseSize(text, `${prefix}zram= limit`);
  if (limit < leastLimit) throw new UsageError(`${prefix}zram=: limit=${text}: give 64MiB at least`);
  return limit;
}

function parseShare(text: string): ZramSettings['size'] {
  const [, percent] = /^(\d+)%$/.exec(text) ?? [];
  if (percent === undefined) return { bytes: parseSize(text, `${prefix}zram=`) };
  if (Number(percent) < 1 || Number(percent) > 400) throw new UsageError(`${prefix}zram=${text}: give 1% to 400%`);
  return { share: Number(percent) / 100 };
}
