// Loaded before a function by `scripts/bench soak`: at SIGHUP, tells what it holds in memory. (SIGUSR2 ends a
// worker of the local stack.)
// Needs --v8-flags=--expose-gc.

const memories = [];
const { Instance } = WebAssembly;
WebAssembly.Instance = class extends Instance {
  constructor(...args) {
    super(...args);
    if (this.exports.memory !== undefined) memories.push(new WeakRef(this.exports.memory));
  }
};

Deno.addSignalListener("SIGHUP", () => {
  globalThis.gc();
  const { heapUsed, external } = Deno.memoryUsage();
  const wasm = memories.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0), 0);
  console.log(`memory ${JSON.stringify({ heap: heapUsed, external, wasm, instances: memories.length })}`);
});
