export { type Comparison, compareReports } from './compare.ts';
export { renderComparison } from './comparison-text.ts';
export { brokenLimits, parseLimit } from './limits.ts';
export { longestRun, type MeasureOptions, measure } from './measure.ts';
export { carefulPlan, fullPlan, type Plan, quickPlan } from './plan.ts';
export { type Report, readReport, reportSchema } from './report.ts';
export { renderReport } from './report-text.ts';
export { worseMembers } from './verdict.ts';
