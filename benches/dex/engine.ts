// The two builds of benches/dex/engine behind one face: memory, and the functions that work on it.

export interface Engine {
  /** Copies a capture in and runs a stage over it; gives what the stage gives. */
  run(stage: "check" | "interpret" | "prepare", capture: Uint8Array): number;
  /** The row of the last `prepare`, of this length, copied out. */
  output(length: number): Uint8Array;
}

/** The wasm module, as functions are built. */
export async function wasm(path: string): Promise<Engine> {
  const { instance } = await WebAssembly.instantiate(await Deno.readFile(path));
  // deno-lint-ignore no-explicit-any
  const exports = instance.exports as any;
  return {
    run(stage, capture) {
      const at = exports.input(capture.length);
      new Uint8Array(exports.memory.buffer, at, capture.length).set(capture);
      return exports[stage](capture.length);
    },
    output: (length) => new Uint8Array(exports.memory.buffer, exports.output(), length).slice(),
  };
}

/** The native library. */
export function native(path: string): Engine {
  const { symbols } = Deno.dlopen(
    path,
    {
      input: { parameters: ["usize"], result: "pointer" },
      output: { parameters: [], result: "pointer" },
      check: { parameters: ["usize"], result: "u32" },
      interpret: { parameters: ["usize"], result: "u32" },
      prepare: { parameters: ["usize"], result: "usize" },
    } as const,
  );
  const bytes = (at: Deno.PointerValue, length: number) =>
    at === null ? new Uint8Array() : new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(at, length));
  // Asked for once: the memory moves only when it is too small.
  const input = bytes(symbols.input(BigInt(1 << 20)), 1 << 20);
  return {
    run(stage, capture) {
      input.set(capture);
      return Number(symbols[stage](BigInt(capture.length)));
    },
    output: (length) => bytes(symbols.output(), length).slice(),
  };
}
