/**
 * node:child_process of a runtime (scripts/build-runtime), loaded when somebody uses something of it: it takes a tenth of a start, and commander asks for
 * it each time, for commands that we have none of.
 */
'use strict';
const names = ['ChildProcess', 'exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'];
for (const name of names) {
  // By its other name: the bundler takes this file for the usual one.
  // biome-ignore lint/style/useNodejsImportProtocol: as said
  Object.defineProperty(exports, name, { enumerable: true, get: () => require('child_process')[name] });
}
