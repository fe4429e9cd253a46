// Node's modules go around `Deno`. They are narrowed when the function first loads one, since loading them
// costs as much as the rest of a worker's start. What a function imports from them by name keeps Deno's own
// refusals: no process can be started, and no file outside the worker's folder can be written.

import { env } from "./env.ts";
import { onPath, refuse, whileStarting } from "./files.ts";
import { internals } from "./host.ts";

// deno-lint-ignore no-explicit-any
type Call = (...args: any[]) => any;
type Calls = Record<string, Call>;

interface Process {
  env: unknown;
  getBuiltinModule(name: string): Calls & { promises: Calls };
}

/** With the names of the synchronous forms, and of those that return promises. */
const NEVER = [
  "chmod",
  "chown",
  "copyFile",
  "cp",
  "lchown",
  "link",
  "lutimes",
  "readlink",
  "rename",
  "symlink",
  "truncate",
  "utimes",
];

/** Those whose synchronous form is for the start of a module. */
const ON_PATHS = ["lstat", "mkdir", "mkdtemp", "readFile", "rm", "rmdir", "stat", "unlink", "writeFile"];

/** Those that have no narrower form, or none that is synchronous. */
const ALWAYS = [
  "access",
  "accessSync",
  "appendFile",
  "createReadStream",
  "createWriteStream",
  "exists",
  "existsSync",
  "open",
  "opendir",
  "readdir",
  "readdirSync",
  "realpath",
  "realpathSync",
];

let narrowed = false;

export function narrowNode(): void {
  const { get } = Object.getOwnPropertyDescriptor(globalThis, "process") as { get: () => Process };
  const narrow = () => {
    const process = get();
    if (!narrowed) {
      narrowed = true;
      narrowProcess(process);
      narrowFiles(process.getBuiltinModule("node:fs"));
      process.getBuiltinModule("node:worker_threads").Worker = noThreads;
    }
    return process;
  };
  Object.defineProperty(globalThis, "process", { get: narrow, configurable: true });
  // Deno's Node layer leaves its start-up function here while it is loaded.
  let start: unknown;
  Object.defineProperty(internals, "__bootstrapNodeProcess", {
    configurable: true,
    get: () => start,
    set: (value) => {
      start = value;
      queueMicrotask(narrow);
    },
  });
}

function noThreads(): never {
  throw new Error("Not implemented: node:worker_threads.Worker");
}

function narrowProcess(process: Process): void {
  const ignore = () => {};
  const values = env.toObject();
  Object.assign(process, { exit: ignore, reallyExit: ignore, abort: ignore, kill: ignore });
  Object.defineProperty(process, "env", { value: values, configurable: true, writable: true });
}

function narrowFiles(fs: Calls & { promises: Calls }): void {
  for (const name of NEVER) {
    const denied = () => refuse(`Deno.${name} is blocklisted`);
    fs[name] = denied;
    fs[`${name}Sync`] = () => refuse(`Deno.${name}Sync is blocklisted`);
    fs.promises[name] = denied;
  }
  for (const name of ON_PATHS) fs[`${name}Sync`] = whileStarting(`${name}Sync`, onPath(fs[`${name}Sync`]));
  for (const name of [...ON_PATHS, ...ALWAYS]) {
    fs[name] = onPath(fs[name]);
    if (name in fs.promises) fs.promises[name] = onPath(fs.promises[name]);
  }
  fs.openSync = () => refuse("Deno.openSync is blocklisted");
}
