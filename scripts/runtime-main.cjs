/**
 * src/cli/main.cjs of a runtime (scripts/build-runtime): runs tetherfs.cjs beside it, the one file of everything, from its code as V8 compiled it when the
 * runtime was made. Node's own cache of compiled code has only what was compiled before the first line ran. If V8 is of another version or has other
 * flags, it does not take the code, and compiles as ever.
 */
'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

const file = join(__dirname, 'tetherfs.cjs');
// All of it is ASCII.
const text = readFileSync(file, 'latin1');
// It is the function in which Node.js wraps a module.
const script = new Script(text, { filename: file, cachedData: compiled() });
module.exports = script;
script.runInThisContext()({}, require, {}, file, __dirname);

function compiled() {
  try {
    return readFileSync(`${file}.code`);
  } catch {
    return undefined;
  }
}
