/** Debian's interfaces(5). The device that the root comes by has its static address already, and ifup would stumble over that: it is told to leave it alone. */
import type { NetworkFile } from './managers.ts';
import type { Family, Link, NetworkPlan } from './plan.ts';

const main = '/etc/network/interfaces';
const directory = '/etc/network/interfaces.d';

/** @param before text of the main file; undefined when there is none. */
export function ifupdownFiles({ links }: NetworkPlan, before: string | undefined): NetworkFile[] {
  const text = before ?? '';
  const isIncluded = new RegExp(
    String.raw`^\s*source(?:-directory)?\s+${RegExp.escape(directory)}(?:/\*)?\s*$`,
    'm',
  ).test(text);
  // What the image says of a device is somebody's will, and would be done as well as ours.
  const ours = links.filter(
    ({ device }) => !new RegExp(String.raw`^\s*iface\s+${RegExp.escape(device)}\s`, 'm').test(text),
  );
  return [
    { path: `${directory}/tetherfs`, content: `# Of tetherfs, at each boot.\n${ours.map(stanzas).join('\n')}` },
    ...(isIncluded ? [] : [{ path: main, content: `${text.trimEnd()}\nsource ${directory}/*\n`.trimStart() }]),
  ];
}

function stanzas(link: Link): string {
  const { device, ipv4, ipv6, mtu, vlan, isBoot } = link;
  const common = [
    // Not every method has one of its own.
    ...(mtu === undefined ? [] : [`pre-up ip link set dev ${device} mtu ${mtu}`]),
    ...(vlan === undefined ? [] : [`vlan-raw-device ${vlan.parent}`]),
  ];
  const both: [string, Family][] = [
    ['inet', ipv4],
    ['inet6', ipv6],
  ];
  const families = both.filter(([, { method }]) => method !== 'none');
  const all = (families.length === 0 ? ([['inet', { method: 'none' }]] as [string, Family][]) : families).map(
    ([name, family]) => {
      const isStatic = family.method === 'static' && !isBoot;
      const lines = [
        ...common,
        ...(isStatic ? [`address ${family.address}`] : []),
        ...(isStatic && family.gateway !== undefined ? [`gateway ${family.gateway}`] : []),
      ];
      const method = isStatic || family.method === 'dhcp' ? family.method : 'manual';
      return [`iface ${device} ${name} ${method}`, ...lines.map((line) => `    ${line}`), ''].join('\n');
    },
  );
  return [`auto ${device}`, ...all].join('\n');
}
