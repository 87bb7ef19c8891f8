/**
 * Who the members of a mount are, while it runs: those of the command line, those that were added and removed since, and those of the file that
 * `--members-from` names, which is read again when somebody asks for it (SIGHUP, `tetherfs members reload`).
 */
import { TetherfsError, UsageError } from '../base/errors.ts';
import { parseFileUrl, shownUrl } from '../base/file-url.ts';
import type { MemberChange, NewMemberFacts } from '../members/contract.ts';
import { largestMembersFile, membersOfFile } from '../profile/index.ts';
import { readFileLater } from './given-file.ts';
import { inMachineRoot } from './machine-root.ts';
import type { OpenedImage } from './open-image.ts';
import type { MountOptions } from './options.ts';

export interface MembershipParts {
  options: MountOptions;
  image: Pick<OpenedImage, 'collective' | 'ca' | 'digest'>;
  /** Called after a change, before it is acknowledged. */
  onChange: () => void;
  /** The mount is a successor's now, or will be in a moment. */
  isLeaving: () => boolean;
}

export interface MemberChanges extends NewMemberFacts {
  add: readonly string[];
  remove: readonly string[];
}

export class Membership {
  readonly #parts: MembershipParts;
  #options: MountOptions;
  #revision = 0;
  /** The reading under way: another begins after it. */
  #reading: Promise<unknown> = Promise.resolve();

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#options = parts.options;
  }

  /** Of the mount, with the members of the moment: what a successor goes on with. */
  get options(): MountOptions {
    return this.#options;
  }

  /** Grows with each change. */
  get revision(): number {
    return this.#revision;
  }

  /** @throws UsageError for what can be no member; TetherfsError NO_SUCH_MEMBER, LAST_MEMBER. Nothing has changed then. */
  change({ add, remove, ...facts }: MemberChanges): MemberChange {
    const { urls, membersFrom } = this.#options;
    const gone = new Set(remove.map((url) => this.#memberAt(url)));
    // Who is added is no longer the file's alone.
    const ofFile = membersFrom && {
      ...membersFrom,
      urls: membersFrom.urls.filter((url) => !gone.has(url) && !add.includes(url)),
    };
    return this.#replace([...urls.filter((url) => !gone.has(url)), ...add], facts, ofFile);
  }

  /** @throws UsageError when the file cannot be read or names none, or there is no such file; as `change`. */
  reload(): Promise<MemberChange> {
    const read = this.#reading.then(() => this.#reload());
    this.#reading = read.catch(() => {});
    return read;
  }

  async #reload(): Promise<MemberChange> {
    const { membersFrom } = this.#options;
    if (membersFrom === undefined)
      throw new UsageError('this mount was made without --members-from: there is nothing to read');
    const { file } = membersFrom;
    const text = await readFileLater(inMachineRoot(file), largestMembersFile, `--members-from ${file}`);
    // Somebody may have come or gone meanwhile.
    const { urls, membersFrom: before } = this.#options;
    const now = membersOfFile(text, { path: file, like: parseFileUrl(urls[0]) });
    const others = urls.filter((url) => before?.urls.includes(url) !== true);
    return this.#replace([...others, ...now], {}, { file, urls: now.filter((url) => !others.includes(url)) });
  }

  #replace(wanted: readonly string[], facts: NewMemberFacts, membersFrom: MountOptions['membersFrom']): MemberChange {
    const { collective } = this.#parts.image;
    if (this.#parts.isLeaving()) {
      throw new TetherfsError('HANDOVER_UNDER_WAY', 'the mount is being taken over: ask its successor');
    }
    const [first, ...others] = new Set(wanted);
    if (first === undefined) {
      throw new TetherfsError('LAST_MEMBER', 'a mount needs a member: add another one before you remove the last');
    }
    const files = [first, ...others].map(parseFileUrl);
    for (const { secure, text } of files) this.#insistOnTrust(secure, text, facts);
    const change = collective.replaceMembers(files, facts);
    this.#options = { ...this.#options, urls: [first, ...others], membersFrom };
    if (files.some(({ secure }) => secure)) this.#parts.image.ca ??= facts.ca && [...facts.ca];
    this.#revision++;
    this.#parts.onChange();
    return change;
  }

  #insistOnTrust(secure: boolean, text: string, { ca }: NewMemberFacts): void {
    const { image } = this.#parts;
    if (!secure && image.digest === undefined && !this.#options.allowUnverified) {
      throw new UsageError(`${text}: a mount without a digest trusts https:// alone`);
    }
    if (secure && image.ca === undefined && ca === undefined) {
      throw new UsageError(`${text}: this mount knows no authorities yet; add it by tetherfs members add`);
    }
  }

  /** As it was given, of what may be its text as it is shown. */
  #memberAt(url: string): string {
    const { urls } = this.#options;
    if (urls.includes(url)) return url;
    const [found, ...others] = urls.filter((each) => shownUrl(each) === url);
    if (found !== undefined && others.length === 0) return found;
    if (found !== undefined) {
      throw new TetherfsError('NO_SUCH_MEMBER', `${url}: several members are shown so: give the URL with its query`);
    }
    throw new TetherfsError(
      'NO_SUCH_MEMBER',
      `${shownUrl(url)} is no member of this mount; they are ${urls.map(shownUrl).join(' ')}`,
    );
  }
}
