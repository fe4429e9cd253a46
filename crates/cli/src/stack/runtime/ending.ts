// How a worker ends. SIGTERM ends it now. The order to retire lets the requests under way and the work that was
// handed to `EdgeRuntime.waitUntil` end first. Before either, and when a limit is near, `beforeunload` says why. What
// the function begins in it is not awaited.

import { deno } from "./host.ts";

const pending = new Set<Promise<unknown>>();
const announced = new Set<string>();
const leaving: (() => Promise<void>)[] = [];
let idle: (() => void) | undefined;

/** Keeps the worker until the promise is resolved. Anything but a native promise is not waited for. */
export function waitUntil<T>(work: T): T {
  if (work instanceof Promise) pending.add(work);
  return work;
}

/** Called when any promise is resolved. A handler on the promise would hide that its rejection is unhandled. */
export function settled(promise: Promise<unknown>): void {
  if (pending.delete(promise) && pending.size === 0) idle?.();
}

/** Adds what a retiring worker does before it waits for its work in the background. */
export function onRetire(leave: () => Promise<void>): void {
  leaving.push(leave);
}

export function prepareEnding(): void {
  deno.addSignalListener("SIGTERM", () => end("termination"));
  // The platform never fires it.
  addEventListener("unload", (event) => event.stopImmediatePropagation());
}

/** Ends the worker as soon as nothing is under way. */
export async function retire(reason: string): Promise<void> {
  await Promise.all(leaving.map((leave) => leave()));
  while (pending.size > 0) await new Promise<void>((resolve) => idle = resolve);
  end(reason);
}

function end(reason: string): never {
  announce(reason);
  deno.exit(0);
}

/** Fires `beforeunload`, once for each reason. */
export function announce(reason: string): void {
  if (announced.has(reason)) return;
  announced.add(reason);
  dispatchEvent(new CustomEvent("beforeunload", { cancelable: true, detail: { reason } }));
}
