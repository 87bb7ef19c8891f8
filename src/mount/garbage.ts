/**
 * V8's garbage collector, asked to run. Not by `node --expose-gc`: with that flag V8 takes none of the compiled code that Node.js brings for its own
 * modules, and each start takes a third longer. The flag set later has the same effect on what is loaded after it, which is nothing by then.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | undefined;

/** A full collection; takes some ms. */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc');
  }
  collect?.();
}
