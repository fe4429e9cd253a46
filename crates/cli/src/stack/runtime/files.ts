// The file API: which calls the platform allows, and the worker's own `/tmp`.

import { deno, host } from "./host.ts";
import { isStarting } from "./start.ts";

// deno-lint-ignore no-explicit-any
type Call = (...args: any[]) => any;

const ALWAYS = [
  "create",
  "lstat",
  "mkdir",
  "open",
  "readFile",
  "readTextFile",
  "realPath",
  "realPathSync",
  "remove",
  "stat",
  "writeFile",
  "writeTextFile",
];

const WHILE_STARTING = [
  "lstatSync",
  "mkdirSync",
  "readDirSync",
  "readFileSync",
  "readTextFileSync",
  "removeSync",
  "statSync",
  "writeFileSync",
  "writeTextFileSync",
];

const NEVER = [
  "FsFile",
  "chdir",
  "chmod",
  "chmodSync",
  "chown",
  "chownSync",
  "copyFile",
  "copyFileSync",
  "createSync",
  "link",
  "linkSync",
  "openSync",
  "readLink",
  "readLinkSync",
  "rename",
  "renameSync",
  "symlink",
  "symlinkSync",
  "truncate",
  "truncateSync",
  "utime",
  "utimeSync",
];

/** Deno's calls by name. */
const calls = deno as unknown as Record<string, Call>;

export const files: Record<string, Call> = {
  cwd: deno.cwd,
  readDir,
  makeTempDir: (options) => inTmp(deno.makeTempDir, options),
  makeTempFile: (options) => inTmp(deno.makeTempFile, options),
  makeTempDirSync: whileStarting("makeTempDirSync", (options) => inTmp(deno.makeTempDirSync, options)),
  makeTempFileSync: whileStarting("makeTempFileSync", (options) => inTmp(deno.makeTempFileSync, options)),
};
for (const name of ALWAYS) files[name] = onPath(calls[name]);
for (const name of WHILE_STARTING) files[name] = whileStarting(name, onPath(calls[name]));
for (const name of NEVER) files[name] = () => refuse(`Deno.${name} is blocklisted`);

/** Allows a call only while the function's module starts. */
export function whileStarting(name: string, call: Call): Call {
  return (...args) =>
    isStarting() ? call(...args) : refuse(`Deno.${name} is blocklisted on the current context`);
}

export function refuse(message: string): never {
  throw new deno.errors.PermissionDenied(message);
}

/** A call whose first argument is a path. */
export function onPath(call: Call): Call {
  return (path, ...rest) => {
    try {
      const result = call(toHost(path), ...rest);
      return result instanceof Promise ? result.then(toFunction, rethrow) : toFunction(result);
    } catch (error) {
      return rethrow(error);
    }
  };
}

async function* readDir(path: string | URL): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* deno.readDir(toHost(path));
  } catch (error) {
    rethrow(error);
  }
}

function inTmp(make: Call, options: Deno.MakeTempOptions = {}): unknown {
  return onPath((dir) => make({ ...options, dir }))(options.dir ?? "/tmp");
}

/** Where a path of the function is on this machine. */
// deno-lint-ignore no-explicit-any
function toHost(path: any): any {
  const text = path instanceof URL && path.protocol === "file:" ? decodeURIComponent(path.pathname) : path;
  if (typeof text !== "string" || !text.startsWith("/")) return path;
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  // The project may be below the real /tmp.
  const isSource = host.sources.some((folder) => `${text}/`.startsWith(`${folder}/`));
  if (parts[0] !== "tmp" || isSource) return path;
  return [host.tmp, ...parts.slice(1)].join("/");
}

/** A path of this machine, as the function knows it; anything else as it is. */
function toFunction<T>(result: T): T {
  return (typeof result === "string" && result.startsWith(host.tmp))
    ? `/tmp${result.slice(host.tmp.length)}` as T
    : result;
}

function rethrow(error: unknown): never {
  if (error instanceof Error) error.message = error.message.replaceAll(host.tmp, "/tmp");
  throw error;
}
