/**
 * What a node does once it has booted, in its own root: it gets its site's files, runs the site's and the profile's scripts, has the profile's playbooks run, and tells its members that it has booted. A step that
 * fails is named, and the others are done all the same; members that cannot be reached are waited for.
 */
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { hostKey } from './identity/ssh-files.ts';
import { goodAnswer } from './member-api.ts';
import { bootIsOver, postTrace } from './onboot/boot-trace.ts';
import { getCertificate } from './onboot/certificate.ts';
import { addNewMembers, whyNoNewMembers } from './onboot/image-members.ts';
import { runPlaybooks } from './onboot/playbooks.ts';
import { listScripts, withScript } from './onboot/profile-scripts.ts';
import { runScript } from './onboot/run-script.ts';
import { RunningNode } from './onboot/running-node.ts';
import { listSiteSteps } from './onboot/site-steps.ts';
import { syncFiles } from './onboot/sync-files.ts';
import { type BootRecord, type OnbootRecord, readBootRecord, readOnbootRecord, writeOnbootRecord } from './records.ts';
import { readIfThere } from './small-files.ts';
import { type BootConsole, describeFailure, describeSteps, kernelUptime, Steps } from './step.ts';

export interface OnbootOptions {
  /** Lines for whoever watches the machine. */
  console: BootConsole;
  /** Told what playbooks print. */
  print: (text: string) => void;
  signal: AbortSignal;
}

/** These are passing, however long it takes. */
const passing = new Set(['UNREACHABLE', 'SYNC_BUSY']);
/** So often a member that answers wrongly is asked. */
const mostTries = 5;
const interrupted = 'interrupted: what was to be done after the boot is not';

/** @throws TetherfsError ONBOOT that names the steps that have failed; NO_NODE_BOOT; INTERRUPTED */
export async function onboot(options: OnbootOptions): Promise<void> {
  const boot = readBootRecord();
  const node = RunningNode.read(boot, options.signal);
  const run = new Onboot(options, boot, node);
  try {
    await run.all();
  } catch (error) {
    run.end('failed');
    throw error;
  }
}

class Onboot {
  readonly #options: OnbootOptions;
  readonly #boot: BootRecord;
  readonly #node: RunningNode | undefined;
  readonly #record: OnbootRecord;
  #isUnwritten = false;

  constructor(options: OnbootOptions, boot: BootRecord, node: RunningNode | undefined) {
    this.#options = options;
    this.#boot = boot;
    this.#node = node;
    this.#record = { state: 'running', steps: [], isTraced: readOnbootRecord()?.isTraced ?? false };
  }

  async all(): Promise<void> {
    const { signal } = this.#options;
    const node = this.#node;
    if (node !== undefined) await this.#beforeScripts(node);
    for (const path of await this.#siteSteps())
      await this.#attempt(`node.d/${basename(path)}`, () => this.#script(path, '/', node?.members[0]));
    if (node !== undefined) await this.#ofProfile(node);
    const failed = this.#failed;
    this.end(failed === '' ? 'booted' : 'failed');
    if (failed === '') {
      const times = describeSteps(this.#record.steps);
      const isWatched = loadBinding().notifyServiceManager('READY=1\nSTATUS=booted');
      this.#options.console.say(
        `booted, ${kernelUptime().toFixed(1)} s after the kernel started${times && ': '}${times}`,
      );
      // Before that, systemd waits for us.
      if (isWatched && node !== undefined) await bootIsOver(signal);
    }
    if (node !== undefined) await this.#tellTrace(node);
    if (failed !== '')
      throw new TetherfsError('ONBOOT', `this node has booted, but not all is as it should be: ${failed} failed`);
  }

  /** Names of the steps that have failed so far, with commas between. */
  get #failed(): string {
    const failed = this.#record.steps.filter((step) => step.failed !== undefined);
    return failed.map(({ name }) => name).join(', ');
  }

  end(state: OnbootRecord['state']): void {
    this.#record.state = state;
    if (state !== 'failed') delete this.#record.step;
    this.#write();
  }

  async #beforeScripts(node: RunningNode): Promise<void> {
    const { signal } = this.#options;
    if (this.#boot.identity?.certificate === undefined && readIfThere(`${hostKey}.pub`) !== undefined) {
      await this.#attempt('certificate', async () => {
        this.#record.certificate = await getCertificate(node.api);
      });
    }
    if (whyNoNewMembers(this.#boot) === undefined) {
      await this.#attempt('new members', async () => {
        const added = await addNewMembers(node, signal);
        if (added.length > 0) this.#options.console.say(`the image comes from ${added.join(', ')} as well`);
      });
    }
    await this.#attempt('files', () => syncFiles(node.api, signal));
  }

  async #siteSteps(): Promise<string[]> {
    try {
      return await listSiteSteps((line) => this.#options.console.say(line));
    } catch (error) {
      this.#noteFailure('node.d', kernelUptime(), error);
      return [];
    }
  }

  async #ofProfile(node: RunningNode): Promise<void> {
    const { signal, print } = this.#options;
    let names: string[] = [];
    await this.#attempt('scripts', async () => {
      names = await listScripts(node.api, node.profile);
    });
    for (const name of names) {
      await this.#attempt(name, () =>
        withScript(node.api, node.profile, name, ({ directory, member }) =>
          this.#script(`./${name}`, directory, member),
        ),
      );
    }
    await this.#attempt('playbooks', () => runPlaybooks(node.api, signal, print));
    await this.#attempt('report', () => this.#report(node));
  }

  /** @param member whom the script may ask. */
  #script(path: string, cwd: string, member = ''): Promise<void> {
    const { console, signal } = this.#options;
    const env = {
      nodename: this.#node?.node ?? hostname(),
      // Many programs know no zones.
      confluent_mgr: member.includes('%') ? (this.#node?.mainAddress ?? member) : member,
      confluent_profile: this.#node?.profile ?? '',
    };
    return runScript(path, { cwd, env, signal, say: (line) => console.say(`${path}: ${line}`) });
  }

  async #report(node: RunningNode): Promise<void> {
    const detail = this.#failed && `failed: ${this.#failed}`;
    const body = `state: booted\nstatus: booted\nstate_detail: ${JSON.stringify(detail)}\n`;
    goodAnswer(await node.api.ask('updatestatus', { method: 'POST', body }));
  }

  async #tellTrace({ api }: RunningNode): Promise<void> {
    if (this.#record.isTraced) return;
    const why = await postTrace(api).catch(describeFailure);
    if (why !== undefined)
      this.#options.print(`tetherfs: what this boot has read is not told to the members: ${why}\n`);
    this.#record.isTraced = why === undefined;
    this.#write();
  }

  /** What fails for good is put down, and the next step goes on. @throws TetherfsError INTERRUPTED */
  async #attempt(name: string, step: () => Promise<unknown>): Promise<void> {
    const { console, signal } = this.#options;
    let tries = 0;
    const isLasting = (error: unknown) =>
      !passing.has(errorCode(error) ?? '') && (errorCode(error) !== 'API' || ++tries >= mostTries);
    const say = (line: string) => {
      loadBinding().notifyServiceManager(`STATUS=${line}`);
      console.say(line);
    };
    const steps = new Steps({ say }, signal, { isLasting, interrupted });
    this.#record.step = name;
    this.#write();
    loadBinding().notifyServiceManager(`STATUS=${name}`);
    const began = kernelUptime();
    try {
      await steps.run(name, step);
      this.#record.steps.push(...steps.records);
    } catch (error) {
      if (signal.aborted) throw new TetherfsError('INTERRUPTED', interrupted, { cause: error });
      this.#noteFailure(name, began, error);
    }
  }

  #noteFailure(name: string, began: number, error: unknown): void {
    const failed = describeFailure(error);
    this.#options.console.say(`${name}: ${failed}`);
    this.#record.steps.push({ name, began, ended: kernelUptime(), failed });
  }

  /** What is to be done is done, also where nobody can be told of it. */
  #write(): void {
    try {
      writeOnbootRecord(this.#record);
    } catch (error) {
      if (!this.#isUnwritten)
        this.#options.console.say(`what this node does is not written down: ${describeFailure(error)}`);
      this.#isUnwritten = true;
    }
  }
}
