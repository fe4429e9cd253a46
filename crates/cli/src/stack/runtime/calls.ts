// The limit on calls from function to function. A trace is the chain of requests that share the trace id of
// their `traceparent`; what belongs to no trace counts for the function.

import { host, internals } from "./host.ts";

const WINDOW_MS = 60_000;

/** More traces than this are not remembered without clearing out the ended ones. */
const MANY = 1_000;

interface Count {
  calls: number;
  ends: number;
}

export class RateLimitError extends Error {
  constructor(message: string, readonly retryAfterMs: number) {
    super(message);
    this.name = "RateLimitError";
  }
}

const { core } = internals;
const trace = new core.AsyncVariable<string | undefined>();
const counts = new Map<string | undefined, Count>();

/** Runs a handler so that its calls count for the trace of its request. */
export function inTraceOf<T>(request: Request, run: () => T): T {
  const [, id] = (request.headers.get("traceparent") ?? "").split("-");
  const before = trace.enter(id?.length === 32 ? id : undefined);
  try {
    return run();
  } finally {
    core.setAsyncContext(before);
  }
}

/** Makes `fetch` reject calls of this stack's functions beyond the limit. */
export function limitCalls(): void {
  const send = globalThis.fetch;
  globalThis.fetch = function fetch(input, init) {
    const url = input instanceof Request ? input.url : String(input);
    const refused = url.startsWith(host.functions) ? count(trace.get()) : undefined;
    return refused === undefined ? send(input, init) : Promise.reject(refused);
  };
}

function count(id: string | undefined): RateLimitError | undefined {
  const now = performance.now();
  if (counts.size > MANY) { for (const [known, { ends }] of counts) if (ends <= now) counts.delete(known); }
  let entry = counts.get(id);
  if (entry === undefined || entry.ends <= now) counts.set(id, entry = { calls: 0, ends: now + WINDOW_MS });
  if (entry.calls < host.callsPerMinute) {
    entry.calls += 1;
    return undefined;
  }
  const wait = Math.ceil(entry.ends - now);
  const whose = id === undefined ? "function" : `trace ${id}`;
  return new RateLimitError(`Rate limit exceeded for ${whose}. Retry after ${wait}ms.`, wait);
}
