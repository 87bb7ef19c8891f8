/** A comparison for people. */
import { shownText } from '../base/errors.ts';
import { renderTable, wrapText } from '../base/text-table.ts';
import type { Comparison, Difference } from './compare.ts';
import type { Report } from './report.ts';
import { amount, rounded, shortNames } from './wording.ts';

const width = 80;
const longestName = 16;

/** @param before the earlier report; what is listed is of members of both. */
export function renderComparison(comparison: Comparison, before: Report): string {
  const { differences, compared, tooFew, onlyBefore, onlyAfter } = comparison;
  const names = shortNames([...before.members.map(({ url }) => shownText(url)), ...onlyAfter], longestName);
  const nameOf = (url: string | undefined) => (url === undefined ? 'all together' : (names.get(url) ?? url));
  const worse = differences.filter((one) => one.worse);
  const better = differences.filter((one) => !one.worse);
  const paragraphs = [
    [
      `Against ${shownText(before.node, 60)}, ${before.began.slice(0, 19)}Z: of ${compared} figures ${worse.length} are worse by more than noise, ${better.length} better.`,
    ],
    [worse, better].flatMap((some) => (some.length === 0 ? [] : [table(some, nameOf)])),
    tooFew === 0 ? [] : [`${tooFew} more have too few samples to be compared: --quick takes few.`],
    onlyBefore.map((url) => `${nameOf(shownText(url))} was measured then, not now.`),
    onlyAfter.map((url) => `${nameOf(url)} is measured now, and was not then.`),
  ];
  return paragraphs
    .filter((paragraph) => paragraph.length > 0)
    .map((paragraph) =>
      paragraph.flatMap((line) => (line.includes('\n') ? [line] : wrapText(line, width, ''))).join('\n'),
    )
    .join('\n\n');
}

function table(differences: readonly Difference[], nameOf: (url: string | undefined) => string): string {
  const [{ worse } = { worse: false }] = differences;
  return renderTable(
    ['member', worse ? 'worse' : 'better', 'was', 'is', 'times'],
    differences.map(({ url, what, unit, before, after }) => [
      ...[nameOf(url), what, amount(before, unit), amount(after, unit)],
      rounded(Math.max(after / before, before / after)),
    ]),
  );
}
