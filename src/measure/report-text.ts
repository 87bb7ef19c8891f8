/** A report for people who read it in a terminal: a table of 80 columns, or wide ones with everything; then remarks. */
import { renderTable, wrapText } from '../base/text-table.ts';
import type { Report } from './report.ts';
import { headline, rangesTable, remarks, summaryLegend, summaryTable, type Table, throughputTable } from './summary.ts';

const width = 80;

export function renderReport(report: Report, { wide = false }: { wide?: boolean | undefined } = {}): string {
  const table = ({ head, rows }: Table) => renderTable(head, rows);
  const sentences = (lines: readonly string[]) =>
    lines.flatMap((line) => (wide ? [line] : wrapText(line, width, ''))).join('\n');
  const tables = wide ? [table(rangesTable(report)), table(throughputTable(report))] : [table(summaryTable(report))];
  const head = sentences([headline(report), ...(wide ? [] : [summaryLegend])]);
  return `${[head, ...tables, ...remarks(report).map(sentences)].join('\n\n')}\n`;
}
