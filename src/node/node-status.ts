/** How this node has booted, from where, and what it does since: for people and programs. */
import { describeError, errorCode } from '../base/errors.ts';
import { wrapText } from '../base/text-table.ts';
import { readStatus } from '../mount/control-client.ts';
import type { Status } from '../mount/status.ts';
import { renderStatus } from '../mount/status-text.ts';
import { imageControl } from './places.ts';
import { type BootRecord, type OnbootRecord, readBootRecord, readOnbootRecord } from './records.ts';
import { describeSteps } from './step.ts';

export interface NodeStatus {
  boot: BootRecord;
  /** Null before it has begun. */
  onboot: OnbootRecord | null;
  /** Null when the image was unpacked: there is no mount then. */
  mount: Status | null;
  /** Why the daemon does not answer; absent when it does, or there is none. */
  mountSilent?: string;
}

/** @throws TetherfsError NO_NODE_BOOT, NOT_ROOT */
export async function readNodeStatus(): Promise<NodeStatus> {
  const boot = readBootRecord();
  const onboot = readOnbootRecord() ?? null;
  try {
    return { boot, onboot, mount: await readStatus(imageControl()) };
  } catch (error) {
    const isUnpacked = boot.method === 'uncompressed' && errorCode(error) === 'NO_DAEMON';
    return { boot, onboot, mount: null, ...(!isUnpacked && { mountSilent: describeError(error) }) };
  }
}

const columns = 80;

export function renderNodeStatus({ boot, onboot, mount, mountSilent }: NodeStatus): string {
  const { identity, rootNetwork, method, members, digest, decryption, lacks, steps } = boot;
  const who = identity === undefined ? '' : `${identity.node}: ${identity.profile}, `;
  const many = members.length === 1 ? 'one member' : `${members.length} members`;
  const rootAt = steps.at(-1)?.ended ?? 0;
  const decrypted = decryption === 'none' ? 'in clear' : `decrypted by ${decryption}`;
  const certificate = identity?.certificate ?? onboot?.certificate;
  const lines: [string, string][] = [
    ['image', `${digest ?? 'not verified'}, ${decrypted}`],
    ['boot', `${describeSteps(steps)}: a root file system after ${rootAt.toFixed(1)} s`],
    ...(identity
      ? [['ssh', certificate === undefined ? 'no certificate' : `certificate ${certificate}`] as [string, string]]
      : []),
    ...(rootNetwork
      ? [
          ['network', `${rootNetwork.by ?? 'as the initramfs has left it'}: ${rootNetwork.devices.join(', ')}`] as [
            string,
            string,
          ],
        ]
      : []),
    ['then', describeOnboot(onboot)],
    ...(onboot?.steps ?? []).flatMap(({ name, failed }): [string, string][] =>
      failed ? [['FAILED', `${name}: ${failed}`]] : [],
    ),
    ...lacks.map((lack): [string, string] => ['LACKS', lack]),
    ...(mountSilent === undefined ? [] : [['SILENT', mountSilent] as [string, string]]),
  ];
  const shown = lines.flatMap(([title, text]) => {
    const [first = '', ...others] = wrapText(text, columns, ' '.repeat(indent));
    return [`  ${title}`.padEnd(indent) + first.trimStart(), ...others];
  });
  const mounted = mount === null ? '' : `\n${renderStatus(mount, { wide: false })}`;
  return `${[`${who}${method}, from ${many}`, ...shown].join('\n')}\n${mounted}`;
}

const indent = 11;

function describeOnboot(onboot: OnbootRecord | null): string {
  if (onboot === null) return 'nothing yet: tetherfs-node.service has not begun';
  const done = describeSteps(onboot.steps);
  if (onboot.state === 'running') return `${done}${done && '; '}now: ${onboot.step ?? 'between two steps'}`;
  const end =
    onboot.state === 'booted' ? 'booted' : `ended in failure${onboot.step === undefined ? '' : `, at ${onboot.step}`}`;
  return `${done}${done && '; '}${end}${onboot.isTraced ? '; what the boot has read is told to the members' : ''}`;
}
