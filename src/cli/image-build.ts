/** `tetherfs image build`: a tree from packages. */
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { interruption } from './interruption.ts';
import { collect } from './repeated-option.ts';

interface BuildFlags {
  assumeyes: boolean;
  source?: string;
  repository: string[];
  packagelist?: string;
  addpackagelist: string[];
  volume: string[];
  distro?: string;
  arch?: string;
  gpgKey: string[];
  gpgCheck: boolean;
  tree?: string;
  runtime?: string;
  verbose: boolean;
}

export function imageBuildCommand(): Command {
  return new Command('build')
    .description('make the tree of an image from packages, by the tools of its distribution')
    .argument('<dir>', 'gets the tree: an empty directory, or none yet')
    .option('-y, --assumeyes', 'do not ask', false)
    .option('-s, --source <medium>', "a medium's directory, or the name of one that confluent has imported")
    .option(
      '-r, --repository <url>',
      "a URL, a directory, or a line of sources.list; besides the medium, else in the place of this machine's (may be repeated)",
      collect,
      [],
    )
    .option('-p, --packagelist <file>', "what is installed, in the place of the distribution's list")
    .option('-a, --addpackagelist <file>', 'what is installed besides (may be repeated)', collect, [])
    .option(
      '-v, --volume <src[:dst[:rw]]>',
      'show a file or directory of this machine to scripts of packages (may be repeated)',
      collect,
      [],
    )
    .option('--distro <name>', "debian-12, ubuntu-24.04, el9, … (default: the medium's, else this machine's)")
    .option('--arch <name>', "x86_64 or aarch64 (default: this machine's)")
    .option('--gpg-key <file>', 'believe packages that this key has signed (may be repeated)', collect, [])
    .option('--no-gpg-check', 'believe all packages of the repositories that are given')
    .option('--tree <dir>', "confluent's tree (default: /var/lib/confluent)")
    .option('--runtime <file>', 'what npm run build:runtime makes (default: build/runtime.sfs of the checkout)')
    .option('--verbose', 'show all that the tools say', false)
    .addHelpText(
      'after',
      `
Packages are installed by mmdebstrap (Debian 11 to 13, Ubuntu 22.04 to 26.04), dnf (el8 to el10, Fedora) or zypper (suse15, suse16), with what they depend on. Then the
tree is prepared for diskless nodes, as by 'image prepare', and its own tool makes the initramfs: 'image pack' makes a profile of it.

The lists of a checkout lie in package-lists/. A list has names, comments after #, <FILE> for another list, and %onlyarch and %onlyversions, which count until
the next such line.

The tree is made beside DIR and takes its place when it is whole: a build that fails, or is interrupted, leaves nothing. Signatures of packages are checked.

Exit status: 0 done, 1 not: DIR is as it was; 2 wrong usage.

Examples:
  tetherfs image build -y --distro debian-12 /srv/trees/demo
  tetherfs image build -y -s alma-9.4-x86_64 -a mpi.list /srv/trees/compute
  tetherfs image build -y --distro el9 -r https://mirror.example/9/BaseOS/x86_64/os -r https://mirror.example/9/AppStream/x86_64/os \\
      --gpg-key RPM-GPG-KEY-AlmaLinux-9 /srv/trees/compute`,
    )
    .action(async (directory: string, flags: BuildFlags) => {
      const { build, planBuild } = await import('../imgutil/build.ts');
      const { parseVolume } = await import('../imgutil/exec.ts');
      const { shownDistribution } = await import('../imgutil/distributions/index.ts');
      const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
      const plan = await planBuild({
        distribution: flags.distro,
        architecture: flags.arch,
        source: flags.source,
        repositories: flags.repository.flatMap((given) => (/^deb\s/.test(given) ? [given] : given.split(','))),
        packageList: flags.packagelist,
        morePackages: flags.addpackagelist,
        volumes: flags.volume.map(parseVolume),
        keys: flags.gpgKey,
        checkSignatures: flags.gpgCheck,
        tree: flags.tree,
        runtime: flags.runtime,
      });
      const what = `${shownDistribution(plan.distribution)} for ${plan.architecture.rpm}, ${plan.packages.length} packages and what they need`;
      if (!flags.assumeyes) await ask(`${directory} becomes ${what}. Go on?`);
      else say(`building ${directory}: ${what}`);
      const built = await build(plan, directory, {
        onStep: (step) => say(step),
        onLine: (line) => {
          if (flags.verbose) process.stderr.write(`${line}\n`);
        },
        onWarning: say,
        onLeftover: (path) => say(`removed what a killed build had left: ${path}`),
        signal: interruption(),
      });
      process.stdout.write(`tree     ${built.directory}\nkernel   ${built.kernel?.version ?? 'none'}\n`);
    });
}

/** @throws UsageError when the answer is no, or nobody is there to give one. */
async function ask(question: string): Promise<void> {
  if (!process.stdin.isTTY) throw new UsageError('nobody is there to be asked: say -y');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`tetherfs: ${question} [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('nothing was done');
  } finally {
    terminal.close();
  }
}
