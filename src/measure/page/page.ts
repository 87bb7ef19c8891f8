/** A report as one page that needs nothing else, neither a network nor a file beside it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chartLibrary, pageFiles } from '../../base/installation.ts';
import type { Report } from '../report.ts';
import {
  headline,
  losses,
  rangesTable,
  remarks,
  summaryLegend,
  summaryTable,
  type Table,
  throughputTable,
} from '../summary.ts';
import { rounded } from '../wording.ts';
import { chartsOf } from './chart-data.ts';

export function renderPage(report: Report): string {
  const charts = chartsOf(report);
  const title = `Members: ${headline(report)}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>
${read(chartLibrary(), 'uPlot.min.css')}
${read(pageFiles, 'page.css')}</style>
</head>
<body>
<h1>How quickly the members answer</h1>
<p class="quiet">${escaped(headline(report))}, tetherfs ${escaped(report.version)}</p>
<div class="remarks">
${remarks(report)
  .flat()
  .map((sentence) => `<p>${escaped(sentence)}</p>`)
  .join('\n')}
</div>
${table('summary', summaryTable(report))}
<p class="quiet">${escaped(summaryLegend)}</p>
<div class="charts">
${charts.map(({ title: name }) => `<div class="chart" role="img" aria-label="${escaped(name)}"></div>`).join('\n')}
</div>
${lossesOf(report)}<details open>
<summary>Connections and throughput</summary>
${table('throughput', throughputTable(report))}
</details>
<details>
<summary>Every size, depth and load: ms</summary>
${table('ranges', rangesTable(report))}
</details>
<script type="application/json" id="report">${embedded(report)}</script>
<script type="application/json" id="charts">${embedded(charts)}</script>
<script>
${read(chartLibrary(), 'uPlot.iife.min.js')}
${read(pageFiles, 'charts.js')}</script>
</body>
</html>
`;
}

/** What each member's loss costs a boot, as bars. */
function lossesOf(report: Report): string {
  const found = losses(report);
  const longest = Math.max(1, ...found.map(({ factor }) => factor));
  if (found.length === 0) return '';
  const rows = found.map(
    ({ name, ms, factor }) =>
      `<tr><td>${escaped(name)}</td><td>${rounded(ms)}</td><td>${rounded(factor)}</td><td class="bar"><div style="width: ${((factor / longest) * 100).toFixed(1)}%"></div></td></tr>`,
  );
  return `<h2>A boot without each member</h2>
<div class="table"><table id="losses">
<thead><tr><th>without</th><th>ms</th><th>times as long</th><th></th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>
`;
}

function table(id: string, { head, rows }: Table): string {
  const row = (cells: readonly string[], kind: 'td' | 'th') =>
    `<tr>${cells.map((cell) => `<${kind}>${escaped(cell)}</${kind}>`).join('')}</tr>`;
  const body = rows.map((cells) => row(cells, 'td')).join('\n');
  return `<div class="table"><table id="${id}">\n<thead>${row(head, 'th')}</thead>\n<tbody>\n${body}\n</tbody>\n</table></div>`;
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');
}

/** What members say is in it: nothing of that may end the script. */
function embedded(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

function read(directory: string, name: string): string {
  return readFileSync(join(directory, name), 'utf8');
}
