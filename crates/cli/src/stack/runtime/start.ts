// Whether the function's module is still being evaluated for the first time. The platform allows synchronous
// file calls only then: until the evaluation ends or reaches its first `await`.

import { internals } from "./host.ts";
import { settled } from "./ending.ts";
import { beginFunction } from "./limits.ts";

let begun = false;
let starting = false;

/** Whether synchronous file calls are allowed. */
export function isStarting(): boolean {
  return starting;
}

/** Notices when the evaluation of the function's module begins, once that of the prelude has ended. */
export function watchStart(): void {
  queueMicrotask(() => internals.core.setPromiseHooks(created, null, null, settled));
}

/**
 * V8 makes a promise for the evaluation of a module before it runs the first statement. That promise is the
 * first one that no JavaScript has asked for: nothing but this hook is on the stack. The microtask runs as
 * soon as the module returns or awaits.
 */
function created(): void {
  if (begun || (new Error().stack ?? "").split("\n").length > 2) return;
  begun = true;
  starting = true;
  beginFunction();
  queueMicrotask(() => starting = false);
}
