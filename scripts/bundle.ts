// Packs wasm modules as TypeScript, checks what was packed, and weighs it.
//
// A module travels as an ordinary import, base64 in JSON beside its glue: `static_files` is dropped
// by every deploy path that does not bundle with Docker, and a plain wasm import cannot be
// instantiated a second time after a trap. V8 reads a text in JSON in less than half the time that it
// takes for the same in a script.

const USAGE = `Usage: deno run --allow-read --allow-write scripts/bundle.ts COMMAND

  pack NAME OUT FOLDER   pack what wasm-pack left in OUT as FOLDER/wasm/<name>.{ts,json}
  check [NAME…]          fail unless each function holds its module, fresh from this source
  sizes [NAME…]          print raw and gzipped sizes, fail when one is over wasm-budget.json`;

const ROOTS = ["supabase/functions", "tests/functions"];

interface Fn {
  name: string;
  folder: string;
}

/** The functions: folders with an `index.ts`. */
function functions(wanted: string[]): Fn[] {
  const found = ROOTS.flatMap((root) =>
    [...Deno.readDirSync(root)]
      .filter((entry) => entry.isDirectory && exists(`${root}/${entry.name}/index.ts`))
      .map(({ name }) => ({ name, folder: `${root}/${name}` }))
  ).sort((a, b) => a.name.localeCompare(b.name));
  const unknown = wanted.filter((name) => !found.some((fn) => fn.name === name));
  if (unknown.length > 0) fail(`there is no function called ${unknown.join(", ")}`);
  return found.filter((fn) => wanted.length === 0 || wanted.includes(fn.name));
}

interface Paths {
  glue: string;
  /** The module itself. */
  wasm: string;
  /** What scripts/split.ts took out of it, if it did. */
  later: string;
}

function packedPaths({ name, folder }: Fn): Paths {
  const path = `${folder}/wasm/${name.replaceAll("-", "_")}`;
  return { glue: `${path}.ts`, wasm: `${path}.json`, later: `${path}.later.json` };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
}

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(1);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function gzippedSize(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const zipped = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return (await new Response(zipped).arrayBuffer()).byteLength;
}

/** A hash of all that a module is made of: the crates but for the command, and the toolchain. */
async function sourceHash({ name, folder }: Fn): Promise<string> {
  const crates = [...Deno.readDirSync("crates")].map((entry) => `crates/${entry.name}`);
  const files = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo/config.toml",
    "scripts/build",
    "scripts/bundle.ts",
    "scripts/split.ts",
    "wasm-parts.json",
    ...crates.filter((crate) => crate !== "crates/cli").flatMap(sources),
    ...(exists(`crates/${name}`) ? [] : sources(folder)),
  ].sort();
  const hashes = files.map(async (path) => `${path} ${await sha256(Deno.readFileSync(path))}\n`);
  return await sha256(new TextEncoder().encode((await Promise.all(hashes)).join("")));
}

/** What cargo compiles of a crate: its manifest and `src`. */
function sources(crate: string): string[] {
  const walk = (folder: string): string[] =>
    [...Deno.readDirSync(folder)].flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      return entry.isDirectory ? walk(path) : [path];
    });
  return [`${crate}/Cargo.toml`, ...walk(`${crate}/src`)];
}

/**
 * Turns wasm-bindgen's glue, which keeps its instance in module variables, into a function that
 * makes one instance with its own variables at each call.
 */
function glueAsFactory(glue: string): string {
  const cut = (text: string, from: string, to: string): string => {
    const [start, end] = [text.indexOf(from), text.indexOf(to)];
    if (start < 0 || end < start) fail(`wasm-bindgen's glue has no "${from}" before "${to}"`);
    return text.slice(0, start) + text.slice(end);
  };
  const exported = [...glue.matchAll(/^export function (\w+)/gm)].map((match) => match[1]);
  const body = cut(glue, "async function __wbg_load", "export { initSync")
    .replace(/^export \{ initSync.*$/m, "").replaceAll(/^export function/gm, "function");
  return `export function instantiate(link) {
${body}
__wbg_finalize_init(link(__wbg_get_imports()));
return { ${exported.join(", ")} };
}
`;
}

async function pack(fn: Fn, out: string): Promise<void> {
  const module = fn.name.replaceAll("-", "_");
  const glue = glueAsFactory(Deno.readTextFileSync(`${out}/${module}.js`));
  const paths = packedPaths(fn);
  Deno.mkdirSync(`${fn.folder}/wasm`, { recursive: true });
  const parts: string[] = [];
  for (const part of ["wasm", "later"] as const) {
    const from = `${out}/${module}_${part === "wasm" ? "bg" : part}.wasm`;
    const to = paths[part];
    if (exists(to)) Deno.removeSync(to);
    if (!exists(from)) continue;
    Deno.writeTextFileSync(to, JSON.stringify(btoaBytes(Deno.readFileSync(from))));
    parts.push(
      `export { default as ${part} } from "./${to.split("/").at(-1)}" with { type: "json" };`,
    );
  }
  Deno.writeTextFileSync(
    paths.glue,
    `// Generated by scripts/build from the crate "${fn.name}". Do not edit.
// deno-lint-ignore-file
// deno-fmt-ignore-file
// @ts-nocheck: wasm-bindgen's glue is JavaScript
export const name = "${fn.name}";
export const source = "${await sourceHash(fn)}";
${parts.join("\n")}
${glue}`,
  );
}

function btoaBytes(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}

/** A module, or the later part of one. */
interface Part {
  name: string;
  path: string;
  wasm: Uint8Array<ArrayBuffer>;
}

interface Packed {
  source: string;
  parts: Part[];
}

function readPacked(fn: Fn): Packed {
  const { glue, wasm, later } = packedPaths(fn);
  const read = (path: string): string =>
    exists(path) ? Deno.readTextFileSync(path) : fail(`${path} is missing: run scripts/build ${fn.name}`);
  const text = read(glue);
  const source = text.match(/^export const source = "([^"]*)";$/m)?.[1] ??
    fail(`${glue} holds no source: run scripts/build ${fn.name}`);
  const part = (name: string, path: string): Part => ({
    name,
    path,
    wasm: Uint8Array.fromBase64(JSON.parse(read(path))),
  });
  const parts = [part(fn.name, wasm)];
  if (/^export \{ default as later \}/m.test(text)) parts.push(part(`${fn.name}, later`, later));
  return { source, parts };
}

async function check(wanted: string[]): Promise<void> {
  for (const fn of functions(wanted)) {
    const { source, parts } = readPacked(fn);
    for (const { path, wasm } of parts) {
      if (!WebAssembly.validate(wasm)) fail(`${path} holds no valid wasm`);
    }
    if (source !== await sourceHash(fn)) {
      fail(`${packedPaths(fn).glue} is stale: run scripts/build ${fn.name}`);
    }
    const shim = Deno.readTextFileSync(`${fn.folder}/index.ts`);
    if (!shim.includes(`./wasm/${fn.name.replaceAll("-", "_")}.ts`)) {
      fail(`${fn.folder}/index.ts does not import its own module`);
    }
    if (shim.trimEnd().split("\n").length > 15) fail(`${fn.folder}/index.ts has over 15 lines`);
    console.log(`${fn.name.padEnd(20)} fresh`);
  }
}

async function sizes(wanted: string[]): Promise<void> {
  const budget: Record<string, number> = JSON.parse(Deno.readTextFileSync("wasm-budget.json"));
  console.log(`${"module".padEnd(24)} ${"raw".padStart(9)} ${"gzip".padStart(9)} ${"budget".padStart(9)}`);
  const over: string[] = [];
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`.padStart(9);
  for (const { name, wasm } of functions(wanted).flatMap((fn) => readPacked(fn).parts)) {
    const zipped = await gzippedSize(wasm);
    const allowed = budget[name] ?? budget.default;
    console.log(`${name.padEnd(24)} ${kb(wasm.length)} ${kb(zipped)} ${kb(allowed)}`);
    if (zipped > allowed) over.push(name);
  }
  if (over.length > 0) fail(`over the budget: ${over.join(", ")}`);
}

const [command, ...args] = Deno.args;
if (command === "pack" && args.length === 3) await pack({ name: args[0], folder: args[2] }, args[1]);
else if (command === "check") await check(args);
else if (command === "sizes") await sizes(args);
else if (command === "--help" || command === "-h") console.log(USAGE);
else fail(`that is not a command\n\n${USAGE}`);
