/** A node that has booted: who it is and whom it asks, as its boot has left it in /etc/confluent. */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../base/errors.ts';
import { parseConfluentInfo } from '../../protocol/confluent-info.ts';
import type { Deploycfg } from '../../protocol/deploycfg.ts';
import { askDeploycfg, parseDeploycfg } from '../deploycfg.ts';
import { nameZone } from '../devices.ts';
import { discoverMembers } from '../discovery.ts';
import { goodAnswer, MemberApi } from '../member-api.ts';
import type { BootRecord } from '../records.ts';
import { readIfThere } from '../small-files.ts';

const directory = '/etc/confluent';

export class RunningNode {
  readonly node: string;
  /** That it has booted; another may be pending by now. */
  readonly profile: string;
  /** What its members have said at its boot, or later. */
  config: Deploycfg;
  /** Addresses, with zones. */
  members: readonly string[];
  api: MemberApi;
  readonly #ask: (members: readonly string[]) => MemberApi;

  private constructor(
    { node, profile }: Pick<RunningNode, 'node' | 'profile'>,
    members: readonly string[],
    config: Deploycfg,
    ask: (members: readonly string[]) => MemberApi,
  ) {
    this.node = node;
    this.profile = profile;
    this.members = members;
    this.config = config;
    this.#ask = ask;
    this.api = ask(members);
  }

  /** Of a member, as it says itself; undefined when it has none but link-local ones. */
  get mainAddress(): string | undefined {
    return this.config.deploy_server ?? this.config.deploy_server_v6 ?? undefined;
  }

  /** Undefined when its boot has asked nobody. @throws UsageError when what it has left makes no sense. */
  static read({ identity }: Pick<BootRecord, 'identity'>, signal: AbortSignal): RunningNode | undefined {
    if (identity === undefined) return undefined;
    const info = readIfThere(`${directory}/confluent.info`);
    const key = readIfThere(`${directory}/confluent.apikey`)?.trim();
    const config = readIfThere(`${directory}/confluent.deploycfg`);
    if (info === undefined || key === undefined || config === undefined) return undefined;
    const { node, members } = parseConfluentInfo(info);
    const addresses = members.map(({ address }) => nameZone(address));
    if (node === '' || addresses.length === 0)
      throw new UsageError(`${directory}/confluent.info: it names no node (NODENAME:), or no member (MANAGER:)`);
    const authorities = [readFileSync(`${directory}/ca.pem`, 'utf8')];
    const ask = (asked: readonly string[]) => new MemberApi({ members: asked, authorities, node, key, signal });
    return new RunningNode({ node, profile: identity.profile }, addresses, parseDeploycfg(Buffer.from(config)), ask);
  }

  /** Asks again what it is to be; of members that answer nowhere any more, by asking everybody near. @throws TetherfsError UNREACHABLE, API */
  async askAgain(signal: AbortSignal): Promise<void> {
    const answers = await askDeploycfg(this.api);
    if (answers.every(({ kind }) => kind === 'unreachable')) {
      const found = (await discoverMembers(this.config.confluent_uuid ?? undefined, signal)).map(
        ({ address }) => address,
      );
      if (found.length > 0) {
        this.members = [...new Set([...found, ...this.members])];
        this.api = this.#ask(this.members);
        this.config = parseDeploycfg(goodAnswer(await askDeploycfg(this.api)).body);
        return;
      }
    }
    this.config = parseDeploycfg(goodAnswer(answers).body);
  }
}
