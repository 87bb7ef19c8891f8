/** Ansible playbooks of a profile, run by the member against one node: `ansible/CATEGORY[.d]/*.yaml` of the public part, then of the private one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Profiles } from './profiles.ts';
import { sshOptions } from './sync-files.ts';
import type { RunTool } from './tools.ts';

export interface PlaybookRequest {
  node: string;
  profile: string;
  category: string;
  /** The node's address. */
  to: string;
}

export interface PlaybooksParts {
  profiles: Profiles;
  run: RunTool;
  scratch: string;
  automationKey: string;
  knownHosts: () => Promise<string>;
  log: Log;
}

interface Run {
  words: string;
  isOver: boolean;
}

const mostAtOnce = 4;
const longestMs = 3_600_000;
/** Of what a run has said, characters: the last. */
const mostWords = 1_000_000;
/** How long a question about a run that goes on waits for more words, ms: upstream's client asks again at once. */
const patienceMs = 1_000;
const ansible = { package: 'ansible-core' };

export class Playbooks {
  readonly #parts: PlaybooksParts;
  readonly #runs = new Map<string, Run>();
  readonly #atOnce = pLimit(mostAtOnce);

  constructor(parts: PlaybooksParts) {
    this.#parts = parts;
  }

  async start(request: PlaybookRequest): Promise<'nothing' | 'started'> {
    const { node, profile, category } = request;
    if (profile === '') return 'nothing';
    const found: string[] = [];
    for (const isPrivate of [false, true]) {
      const { directory, names } = await this.#parts.profiles.scripts(profile, 'ansible', category, isPrivate);
      found.push(...names.filter((name) => /\.ya?ml$/.test(name)).map((name) => join(directory, name)));
    }
    if (found.length === 0) return 'nothing';
    const run: Run = { words: '', isOver: false };
    this.#runs.set(node, run);
    void this.#atOnce(() => this.#play(request, found, run))
      .catch((error: unknown) => {
        run.words += `${describeError(error)}\n`;
        this.#parts.log.warn('playbooks failed', { node, why: describeError(error) });
      })
      .finally(() => {
        run.isOver = true;
      });
    return 'started';
  }

  /** All its words so far; after its end once, and then there are none. */
  async words(node: string): Promise<string | undefined> {
    const run = this.#runs.get(node);
    if (run === undefined) return undefined;
    if (!run.isOver) await new Promise((resolve) => setTimeout(resolve, patienceMs).unref());
    if (run.isOver) this.#runs.delete(node);
    return run.words;
  }

  async #play({ node, to }: PlaybookRequest, playbooks: readonly string[], run: Run): Promise<void> {
    const { scratch, automationKey, knownHosts } = this.#parts;
    const work = await mkdtemp(join(scratch, 'ansible-'));
    try {
      await writeFile(join(work, 'known_hosts'), await knownHosts());
      const ssh = ['-F', 'none', ...sshOptions(node, join(work, 'known_hosts'))].join(' ');
      const variables = {
        ansible_host: to,
        ansible_user: 'root',
        ansible_ssh_private_key_file: automationKey,
        ansible_ssh_common_args: ssh,
      };
      await writeFile(join(work, 'inventory.json'), JSON.stringify({ all: { hosts: { [node]: variables } } }));
      await writeFile(join(work, 'ansible.cfg'), `[defaults]\nlocal_tmp = ${work}/tmp\nhome = ${work}/home\n`);
      for (const playbook of playbooks) {
        await this.#parts.run('ansible-playbook', ['-i', join(work, 'inventory.json'), playbook], {
          ...ansible,
          cwd: work,
          signal: AbortSignal.timeout(longestMs),
          onOutput: (text) => {
            run.words = (run.words + text).slice(-mostWords);
          },
        });
      }
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
}
