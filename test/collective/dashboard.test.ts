import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CollectiveMetrics } from '../../src/collective/metrics.ts';

interface Dashboard {
  panels: { title: string; gridPos: { x: number; y: number; w: number; h: number }; targets: { expr: string }[] }[];
}

const read = (path: string) => readFileSync(new URL(`../../docs/${path}`, import.meta.url), 'utf8');

it('the dashboard asks for each metric that a member has, by its labels, and for none besides', async () => {
  const { panels } = JSON.parse(read('dashboards/collective.json')) as Dashboard;
  const asked = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const names = new Set(asked.flatMap((expr) => expr.match(/tetherfs_\w+/g) ?? []));
  const { registry } = new CollectiveMetrics(async () => 0);
  const metrics = await registry.getMetricsAsJSON();
  expect([...names].map((name) => name.replace(/_bucket$/, '')).sort()).toEqual(metrics.map(({ name }) => name).sort());
  const labels = asked.flatMap((expr) => /by \(([^)]*)\)/.exec(expr)?.[1]?.split(', ') ?? []);
  expect(new Set(labels)).toEqual(new Set(['result', 'route', 'status', 'le', 'instance']));
  const document = read('collective.md');
  for (const { name } of metrics) expect(document).toContain(name);
});

it('no panel lies on another', () => {
  const { panels } = JSON.parse(read('dashboards/collective.json')) as Dashboard;
  const taken = new Set<string>();
  for (const { gridPos, title } of panels) {
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.has(`${x} ${y}`), title).toBe(false);
        taken.add(`${x} ${y}`);
      }
  }
});
