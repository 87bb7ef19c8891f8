/** Whoever sets up the network in an image: how it is told by its files, and what it wants to be told. */
import type { RootTree } from '../identity/root-tree.ts';
import { ifupdownFiles } from './ifupdown.ts';
import { netplanFiles } from './netplan.ts';
import { networkManagerFiles } from './network-manager.ts';
import { networkdFiles } from './networkd.ts';
import type { NetworkPlan } from './plan.ts';

export interface NetworkFile {
  path: string;
  content: string;
  /** 0644 unless said otherwise. */
  mode?: number;
}

export interface Manager {
  /** For people. */
  name: string;
  /** What `tree` has. @throws as the tree does. */
  isIn: (tree: RootTree) => Promise<boolean>;
  files: (plan: NetworkPlan, tree: RootTree) => Promise<readonly NetworkFile[]>;
  /** Whether it writes /etc/resolv.conf by itself. */
  resolves: boolean;
}

const wants = '/etc/systemd/system/multi-user.target.wants';
const isEnabled = async (tree: RootTree, unit: string) => tree.has(`${wants}/${unit}`);

/** The first that is there. Where netplan is, it tells the others what to do. */
export const managers: readonly Manager[] = [
  {
    name: 'netplan',
    isIn: (tree) => tree.has('/usr/sbin/netplan'),
    files: async (plan) => netplanFiles(plan),
    resolves: true,
  },
  {
    name: 'NetworkManager',
    isIn: (tree) => isEnabled(tree, 'NetworkManager.service'),
    files: async (plan) => networkManagerFiles(plan),
    resolves: true,
  },
  {
    name: 'systemd-networkd',
    isIn: (tree) => isEnabled(tree, 'systemd-networkd.service'),
    files: async (plan) => networkdFiles(plan),
    resolves: false,
  },
  {
    name: 'ifupdown',
    isIn: (tree) => tree.has('/usr/sbin/ifup'),
    files: async (plan, tree) => ifupdownFiles(plan, await tree.read('/etc/network/interfaces')),
    resolves: false,
  },
];
