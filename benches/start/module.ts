// In a fresh process: how long a function's module takes from text to an instance. Prints JSON with
// milliseconds. The argument is the generated file of a module.

const started = performance.now();
const packed = await import(new URL(Deno.args[0], `file://${Deno.cwd()}/`).href);
const imported = performance.now();
const bytes = Uint8Array.fromBase64(packed.wasm);
const decoded = performance.now();
const compiled = new WebAssembly.Module(bytes);
const built = performance.now();
packed.instantiate(compiled);
const ready = performance.now();
console.log(JSON.stringify({
  load: imported - started,
  decode: decoded - imported,
  compile: built - decoded,
  instantiate: ready - built,
}));
