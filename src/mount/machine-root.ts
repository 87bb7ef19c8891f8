/**
 * A daemon that was started in an initramfs, after the machine got its root: it keeps the emptied initramfs for its own, because whatever it opened in the new
 * one it might have to serve to itself. /dev, /proc, /sys and /run are shown to it there (native/top_root.h).
 */
import { loadBinding } from '../native/binding.ts';

const everyMs = 2_000;

/** To be called before something is done that needs them, which costs next to nothing. */
export function reachMachineRoot(): void {
  loadBinding().reachTopRoot();
}

/** Looks for it, until the returned function is called, for all that cannot know when it is needed. */
export function watchForRoot(): () => void {
  const timer = setInterval(reachMachineRoot, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** An absolute path as the machine has it, whatever our root is: what `..` of a root leads to is what is mounted on that. */
export function inMachineRoot(path: string): string {
  return `/..${path}`;
}
