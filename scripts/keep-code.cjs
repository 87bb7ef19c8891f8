/** keep-code RUNTIME COMMAND...: runs a runtime's COMMAND, and keeps the code that V8 had of it in the end, where runtime-main.cjs looks for it. */
'use strict';
const { writeFileSync } = require('node:fs');
const { resolve } = require('node:path');

const [, , runtime, ...words] = process.argv;
const main = resolve(runtime, 'src/cli/main.cjs');
process.argv = [process.execPath, main, ...words];
const script = require(main);
process.on('exit', () => writeFileSync(resolve(runtime, 'src/cli/tetherfs.cjs.code'), script.createCachedData()));
