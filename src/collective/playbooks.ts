/** Ansible playbooks of a profile, run by the member against one node: `ansible/CATEGORY[.d]/*.yaml` of the public part, then of the private one. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { describeError } from '../base/errors.ts';
import type { PlaybookOutcome } from '../protocol/headers.ts';
import { type IntoTheNode, withSsh } from './into-the-node.ts';

export interface PlaybookRequest {
  node: string;
  profile: string;
  category: string;
  /** The node's address. */
  to: string;
}

interface Run {
  words: string;
  isOver: boolean;
  hasFailed: boolean;
}

export interface PlaybookState {
  /** What ansible has said so far. */
  words: string;
  /** Undefined while they run. */
  outcome: PlaybookOutcome | undefined;
}

const mostAtOnce = 4;
const longestMs = 3_600_000;
/** Of what a run has said, characters: the last. */
const mostWords = 1_000_000;
/** How long a question about a run that goes on waits for more words, ms: upstream's client asks again at once. */
const patienceMs = 1_000;
const ansible = { package: 'ansible-core' };
const ssh = { package: 'openssh-client' };

export class Playbooks {
  readonly #parts: IntoTheNode;
  readonly #runs = new Map<string, Run>();
  readonly #atOnce = pLimit(mostAtOnce);

  constructor(parts: IntoTheNode) {
    this.#parts = parts;
  }

  async start(request: PlaybookRequest): Promise<'nothing' | 'started'> {
    const { node, profile, category } = request;
    if (profile === '') return 'nothing';
    // Asked once more while they run.
    if (this.#runs.get(node)?.isOver === false) return 'started';
    const found: string[] = [];
    for (const isPrivate of [false, true]) {
      const { directory, names } = await this.#parts.profiles.scripts(profile, 'ansible', category, isPrivate);
      found.push(...names.filter((name) => /\.ya?ml$/.test(name)).map((name) => join(directory, name)));
    }
    if (found.length === 0) return 'nothing';
    const run: Run = { words: '', isOver: false, hasFailed: false };
    this.#runs.set(node, run);
    void this.#atOnce(() => this.#play(request, found, run))
      .catch((error: unknown) => {
        run.words += `${describeError(error)}\n`;
        run.hasFailed = true;
        this.#parts.log.warn('playbooks failed', { node, why: describeError(error) });
      })
      .finally(() => {
        run.isOver = true;
      });
    return 'started';
  }

  /** After their end once, and then there are none. */
  async state(node: string): Promise<PlaybookState | undefined> {
    const run = this.#runs.get(node);
    if (run === undefined) return undefined;
    if (!run.isOver) await new Promise((resolve) => setTimeout(resolve, patienceMs).unref());
    if (!run.isOver) return { words: run.words, outcome: undefined };
    this.#runs.delete(node);
    return { words: run.words, outcome: run.hasFailed ? 'failed' : 'done' };
  }

  #play({ node, to }: PlaybookRequest, playbooks: readonly string[], run: Run): Promise<void> {
    return withSsh(node, this.#parts, async (work, sshWords) => {
      const variables = {
        ansible_host: to,
        ansible_user: 'root',
        ansible_ssh_private_key_file: this.#parts.automationKey,
        ansible_ssh_common_args: sshWords.join(' '),
      };
      await writeFile(join(work, 'inventory.json'), JSON.stringify({ all: { hosts: { [node]: variables } } }));
      await writeFile(
        join(work, 'ansible.cfg'),
        `[defaults]\nlocal_tmp = ${work}/tmp\nhome = ${work}/home\n[ssh_connection]\ncontrol_path_dir = ${work}/cp\n`,
      );
      try {
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
        await this.#hangUp(node, join(work, 'cp'));
      }
    });
  }

  /** ansible's connections would outlive it for a minute. @param sockets the directory of theirs. */
  async #hangUp(node: string, sockets: string): Promise<void> {
    const names = await readdir(sockets).catch(() => []);
    for (const name of names)
      await this.#parts
        .run('ssh', ['-F', 'none', '-S', join(sockets, name), '-O', 'exit', '--', node], ssh)
        .catch(() => {});
  }
}
