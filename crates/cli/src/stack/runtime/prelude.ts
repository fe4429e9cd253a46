// Makes Deno behave as Supabase's edge runtime does. Every worker of a local stack loads this file before
// the function (`--preload`). Each concern has a file: what it refuses, it refuses with the platform's text.
//
// - `host`: what the stack tells the worker
// - `start`: whether the function's module is still being evaluated for the first time
// - `files`, `env`, `system`: the API of `Deno`
// - `serve`, `calls`: requests in, and calls of other functions out
// - `ending`: `EdgeRuntime.waitUntil`, `beforeunload` and the end of the worker
// - `limits`: what the worker reports to the stack, and the orders it takes
// - `globals`, `node`: everything outside `Deno`

import { limitCalls, RateLimitError } from "./calls.ts";
import { prepareEnding, waitUntil } from "./ending.ts";
import { env } from "./env.ts";
import { files } from "./files.ts";
import { narrowGlobals } from "./globals.ts";
import { deno } from "./host.ts";
import { heedLimits } from "./limits.ts";
import { narrowNode } from "./node.ts";
import { serve, serveDefaultExport } from "./serve.ts";
import { watchStart } from "./start.ts";
import { system } from "./system.ts";

/** What the platform takes over from Deno as it is. */
const UNCHANGED = [
  "args",
  "build",
  "connect",
  "connectTls",
  "createHttpClient",
  "mainModule",
  "memoryUsage",
  "pid",
  "refTimer",
  "resolveDns",
  "startTls",
  "stderr",
  "stdin",
  "stdout",
  "unrefTimer",
  "upgradeWebSocket",
];

const api = {};
for (const name of UNCHANGED) {
  const property = Object.getOwnPropertyDescriptor(deno, name);
  if (property !== undefined) Object.defineProperty(api, name, property);
}
Object.assign(api, files, system, { env, serve, errors: { ...deno.errors, RateLimitError } });

prepareEnding();
heedLimits();
limitCalls();
narrowGlobals();
narrowNode();
Object.defineProperty(globalThis, "Deno", { value: api, enumerable: false, configurable: true });
Object.defineProperty(globalThis, "EdgeRuntime", { value: { waitUntil }, configurable: true });
serveDefaultExport();
watchStart();
