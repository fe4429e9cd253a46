// What a worker tells the stack of itself, and the orders that it takes. The stack's side is `limits/reports.rs`.
//
// Reports are lines of standard output that begin with a record separator:
//
// - begun: the evaluation of the function's module begins
// - loaded: the module was evaluated, or threw
// - memory BYTES: what V8's heap, buffers and wasm memories take
//
// Orders are lines of standard input:
//
// - memory: report it
// - announce REASON: a limit is near
// - retire REASON: end as soon as nothing is under way

import { announce, retire } from "./ending.ts";
import { deno, host } from "./host.ts";

const { memoryUsage, stdin, stdout } = deno;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const memories: WeakRef<WebAssembly.Memory>[] = [];

function report(line: string): void {
  stdout.writeSync(encoder.encode(`\x1e${line}\n`));
}

/** Prepares the reports of a worker. */
export function heedLimits(): void {
  for (const event of ["load", "error", "unhandledrejection"]) {
    addEventListener(event, () => report("loaded"), { once: true });
  }
  countMemories();
}

/** Begins to report and to take orders. Not sooner: Deno waits for what the prelude has begun. */
export function beginFunction(): void {
  report("begun");
  queueMicrotask(takeOrders);
}

/** Holds a reply back when the worker has come to its limit of memory, at which the stack kills it. */
export function withinLimits(reply: unknown): unknown {
  const limit = host.memory ?? Infinity;
  if (limit === Infinity) return reply;
  if (reply instanceof Promise) return reply.then(withinLimits);
  const memory = used();
  if (memory < limit) return reply;
  report(`memory ${memory}`);
  return new Promise(() => {});
}

async function takeOrders(): Promise<void> {
  const bytes = new Uint8Array(256);
  let text = "";
  for (let read; (read = await stdin.read(bytes)) !== null;) {
    const lines = (text + decoder.decode(bytes.subarray(0, read))).split("\n");
    text = lines.pop() ?? "";
    lines.forEach(obey);
  }
}

function obey(line: string): void {
  const [order, reason] = line.split(" ");
  if (order === "memory") report(`memory ${used()}`);
  if (order === "announce") announce(reason);
  if (order === "retire") retire(reason);
}

function used(): number {
  const { heapUsed, external } = memoryUsage();
  const sizes = memories.map((memory) => memory.deref()?.buffer.byteLength ?? 0);
  return sizes.reduce((sum, size) => sum + size, heapUsed + external);
}

/** Deno does not count wasm memories: remembers those that modules export. */
function countMemories(): void {
  const { Instance, instantiate, instantiateStreaming } = WebAssembly;
  WebAssembly.Instance = new Proxy(Instance, {
    construct: (target, given, made) => count(Reflect.construct(target, given, made)),
  });
  const counting = (begin: (...given: unknown[]) => Promise<unknown>) => async (...given: unknown[]) => {
    const made = await begin(...given);
    count(made instanceof Instance ? made : (made as WebAssembly.WebAssemblyInstantiatedSource).instance);
    return made;
  };
  Object.assign(WebAssembly, {
    instantiate: counting(instantiate as (...given: unknown[]) => Promise<unknown>),
    instantiateStreaming: counting(instantiateStreaming as (...given: unknown[]) => Promise<unknown>),
  });
}

function count(instance: WebAssembly.Instance): WebAssembly.Instance {
  for (const exported of Object.values(instance.exports)) {
    if (exported instanceof WebAssembly.Memory) memories.push(new WeakRef(exported));
  }
  return instance;
}
