export { longestRun, type MeasureOptions, measure } from './measure.ts';
export { carefulPlan, fullPlan, type Plan, quickPlan } from './plan.ts';
export { type Report, reportSchema } from './report.ts';
export { renderReport } from './report-text.ts';
export { worseMembers } from './verdict.ts';
