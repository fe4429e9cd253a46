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
for (const name of ALWAYS) files[name] = onPath(calls[name], name);
for (const name of WHILE_STARTING) files[name] = whileStarting(name, onPath(calls[name], name));
for (const name of NEVER) files[name] = () => refuse(`Deno.${name} is blocklisted`);

/** Allows a call only while the function's module starts. */
export function whileStarting(name: string, call: Call): Call {
  return (...args) =>
    isStarting() ? call(...args) : refuse(`Deno.${name} is blocklisted on the current context`);
}

export function refuse(message: string): never {
  throw new deno.errors.PermissionDenied(message);
}

/** A call whose first argument is a path. The name of one of Deno's decides on paths outside `/tmp`. */
export function onPath(call: Call, name?: string): Call {
  return (path, ...rest) => {
    try {
      const result = call(toHost(path, name), ...rest);
      return result instanceof Promise ? result.then(toFunction, rethrow) : toFunction(result);
    } catch (error) {
      if (name === undefined || name.endsWith("Sync")) rethrow(error);
      return Promise.reject(error).catch(rethrow);
    }
  };
}

async function* readDir(path: string | URL): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* deno.readDir(toHost(path, "readDir"));
  } catch (error) {
    rethrow(error);
  }
}

function inTmp(make: Call, options: Deno.MakeTempOptions = {}): unknown {
  return onPath((dir) => make({ ...options, dir }))(options.dir ?? "/tmp");
}

/** Where a path of the function is on this machine. */
// deno-lint-ignore no-explicit-any
function toHost(path: any, name?: string): any {
  const text = path instanceof URL && path.protocol === "file:" ? decodeURIComponent(path.pathname) : path;
  if (typeof text !== "string") return path;
  const parts: string[] = [];
  for (const part of (text.startsWith("/") ? text : `${deno.cwd()}/${text}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  const whole = `/${parts.join("/")}`;
  // Node's calls end in those of Deno, with a path that is on this machine already.
  if (`${whole}/`.startsWith(`${host.tmp}/`)) return whole;
  // The project may be below the real /tmp.
  const isSource = host.sources.some((folder) => `${whole}/`.startsWith(`${folder}/`));
  if (parts[0] === "tmp" && !isSource) return [host.tmp, ...parts.slice(1)].join("/");
  if (name !== undefined) checkBundled(name, whole);
  return path;
}

const STATIC_FILES = host.staticFiles.map(pattern);

/** Of the project only static files are in a bundle, and they can be read and nothing else. */
function checkBundled(name: string, path: string): void {
  const isRead = /^read(Text)?File/.test(name);
  if (isRead && STATIC_FILES.some((file) => file.test(path))) return;
  if (isRead || /^(open|create|write)/.test(name)) {
    throw new deno.errors.NotFound(`No such file or directory (os error 2): ${name} '${path}'`);
  }
  throw new deno.errors.NotSupported("The operation is not supported");
}

/** `**` stands for folders, `*` for a part of a name, `?` for a character. */
function pattern(glob: string): RegExp {
  const parts = glob.split(/(\*\*\/|\*\*|\*|\?)/).map((part) =>
    ({ "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]" })[part] ??
      part.replace(/[.+^${}()|[\]\\]/g, "\\$&")
  );
  return new RegExp(`^${parts.join("")}$`);
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
