/**
 * failed-files REPORT: the files that failed, one a line. Exit status 1 when running them again would not tell everything: something failed
 * that belongs to no file, or the run left no report.
 */
import { failuresOf, readReport } from './run-report.ts';

const { files, unhandled } = readReport(process.argv[2] ?? '/dev/null');
for (const file of files) if (failuresOf(file).length > 0) console.log(file.file);
if (unhandled.length > 0 || files.length === 0) process.exitCode = 1;
