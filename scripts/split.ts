// Takes apart a module that is too large to load whole: what is seldom called goes into a second
// module, which the shim loads at the first call of any of it. Both share memory, tables and stack.
//
// Which functions these are is told by Rust paths in wasm-parts.json; what only they call goes with
// them. A path too many costs time at its first call, and one too few costs size: neither changes what
// a module does.

import binaryen from "binaryen";

const USAGE = `Usage: deno run --allow-read --allow-write scripts/split.ts NAME WASM LATER

  Reads WASM, the module of the function NAME with the names of its functions in it. Where
  wasm-parts.json has a list for NAME, writes both parts, the first one in place of WASM;
  else it does nothing.`;

/** The parts, as the other one's imports call them: see `link` in supabase/functions/_shared/module.ts. */
const MAIN = "main";
const LATER = "later";
const LOAD = "load the later part";

type Module = binaryen.Module;

function read(bytes: Uint8Array): Module {
  const module = binaryen.readBinary(bytes);
  const { Features } = binaryen;
  // Those of scripts/env.
  module.setFeatures(
    Features.BulkMemory | Features.BulkMemoryOpt | Features.SignExt | Features.MutableGlobals |
      Features.NontrappingFPToInt | Features.ReferenceTypes | Features.Multivalue,
  );
  return module;
}

interface Fn {
  name: string;
  /** The module it is imported from; empty where it has a body. */
  from: string;
}

function functions(module: Module): Fn[] {
  return Array.from({ length: module.getNumFunctions() }, (_, at) => {
    const { name, module: from } = binaryen.getFunctionInfo(module.getFunctionByIndex(at));
    return { name, from: from ?? "" };
  });
}

function bodies(module: Module): string[] {
  return functions(module).filter(({ from }) => from === "").map(({ name }) => name);
}

/** Has a function come from the other part. */
function importInstead(module: Module, name: string, from: string, as: string): void {
  const { params, results } = binaryen.getFunctionInfo(module.getFunction(name));
  module.removeFunction(name);
  module.addFunctionImport(name, from, as, params, results);
}

/** Has a function call the later part through its place in a table, and load that before. */
function callInstead(module: Module, name: string, place: number): void {
  const { params, results } = binaryen.getFunctionInfo(module.getFunction(name));
  const values = binaryen.expandType(params).map((type, at) => module.local.get(at, type));
  const call = module.call_indirect(LATER, module.i32.const(place), values, params, results);
  module.removeFunction(name);
  module.addFunction(
    name,
    params,
    results,
    [],
    module.block(null, [module.call(LOAD, [], binaryen.none), call]),
  );
}

/** The function that has the shim load the later part, once. */
function addLoad(module: Module): void {
  module.addGlobal(LOAD, binaryen.i32, true, module.i32.const(0));
  module.addFunctionImport(`${LOAD}.import`, LATER, "load", binaryen.none, binaryen.none);
  const load = module.block(null, [
    module.call(`${LOAD}.import`, [], binaryen.none),
    module.global.set(LOAD, module.i32.const(1)),
  ]);
  const body = module.if(module.i32.eqz(module.global.get(LOAD, binaryen.i32)), load);
  module.addFunction(LOAD, binaryen.none, binaryen.none, [], body);
}

/** A name without the hashes of its crates. */
function plain(name: string): string {
  return name.replaceAll(/\[[0-9a-f]+\]/g, "");
}

/**
 * Whether a function is named by one of these paths, is in what one names, or has that among its types.
 * A path behind `=` is the name of one function.
 */
function below(paths: string[]): (name: string) => boolean {
  const escaped = (path: string) => path.replaceAll(/[^\w:]/g, "\\$&");
  const patterns = paths.map((path) =>
    path.startsWith("=") ? `^${escaped(path.slice(1))}$` : `(?<![\\w:])${escaped(path)}(?!\\w)`
  );
  const pattern = new RegExp(patterns.join("|"));
  return (name) => pattern.test(plain(name));
}

interface Parts {
  main: Module;
  later: Module;
}

function split(bytes: Uint8Array, own: string[], all: string[]): Parts {
  const rest = read(bytes);
  const everything = bodies(rest);
  for (const path of own) {
    if (!everything.some(below([path]))) fail(`wasm-parts.json: nothing is called ${path}`);
  }
  const goes = everything.filter(below([...own, ...all]));

  // Without them, what can still be reached stays, and only what is called of them is called from there.
  for (const name of goes) importInstead(rest, name, LATER, name);
  rest.runPasses(["remove-unused-module-elements"]);
  const stays = bodies(rest);
  const called = functions(rest).filter(({ from }) => from === LATER).map(({ name }) => name);

  const main = read(bytes);
  main.addTable(LATER, called.length, called.length);
  main.addTableExport(LATER, LATER);
  addLoad(main);
  called.forEach((name, place) => callInstead(main, name, place));

  const later = read(bytes);
  for (let at = later.getNumExports() - 1; at >= 0; at--) {
    later.removeExport(binaryen.getExportInfo(later.getExportByIndex(at)).name);
  }
  for (let at = later.getNumElementSegments() - 1; at >= 0; at--) {
    later.removeElementSegment(binaryen.getElementSegmentInfo(later.getElementSegmentByIndex(at)).name);
  }
  stays.forEach((name, at) => importInstead(later, name, MAIN, at.toString(36)));
  share(main, later);
  later.addTableImport(LATER, MAIN, LATER);
  later.addActiveElementSegment(LATER, LATER, called, later.i32.const(0));
  later.runPasses(["remove-unused-module-elements"]);
  const needed = new Set(functions(later).filter(({ from }) => from === MAIN).map(({ name }) => name));
  stays.forEach((name, at) => {
    if (needed.has(name)) main.addFunctionExport(name, at.toString(36));
  });
  main.runPasses(["remove-unused-module-elements"]);
  return { main, later };
}

/** Has the later part work on the memory, tables and variables of the main one. */
function share(main: Module, later: Module): void {
  later.runPasses(["remove-memory-init"]);
  later.addMemoryImport("0", MAIN, "memory", false);
  for (let at = 0; at < later.getNumTables(); at++) {
    const { name } = binaryen.getTableInfo(later.getTableByIndex(at));
    main.addTableExport(name, `table${at}`);
    later.addTableImport(name, MAIN, `table${at}`);
  }
  for (let at = 0; at < later.getNumGlobals(); at++) {
    const { name, type, mutable } = binaryen.getGlobalInfo(later.getGlobalByIndex(at));
    if (!mutable) continue;
    main.addGlobalExport(name, `global${at}`);
    later.addGlobalImport(name, MAIN, `global${at}`, type, mutable);
  }
}

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(1);
}

const [name, path, laterPath] = Deno.args;
if (name === "--help" || name === "-h") {
  console.log(USAGE);
  Deno.exit(0);
}
if (laterPath === undefined) fail(`a name and two paths are needed\n\n${USAGE}`);
const parts: Record<string, string[]> = JSON.parse(Deno.readTextFileSync("wasm-parts.json"));
if (name in parts) {
  const { main, later } = split(Deno.readFileSync(path), parts[name], parts.all);
  // wasm-opt puts functions of one name together.
  binaryen.setDebugInfo(true);
  Deno.writeFileSync(path, main.emitBinary());
  Deno.writeFileSync(laterPath, later.emitBinary());
}
