// Makes a packed module run: decodes and compiles it, and what was taken out of it when that is first
// called.

import type { Shim } from "./wasm.ts";

/** What `scripts/build` packs. */
export interface Packed {
  name: string;
  /** The digest of all that the module is made of. */
  source: string;
  /** The module, base64. */
  wasm: string;
  /** What `scripts/split.ts` took out of it, where it did; base64. */
  later?: string;
  /** Makes an instance with state of its own. */
  instantiate(link: (imports: WebAssembly.Imports) => WebAssembly.Instance): Exports;
}

/** The module's exports, see `crates/ironferry/src/wasm.rs`. */
export interface Exports {
  start(secrets: Record<string, string>, shim: Shim): void;
  begin(request: number, head: string, body: Uint8Array): void;
  resume(effect: number, status: number, head: string, body: Uint8Array): void;
  turn(): void;
  shutdown(request: number): void;
  trapped_task(): number | undefined;
  trapped_request(): number | undefined;
  trapped_reply(): boolean;
}

/** Compiles a module; what comes back makes an instance of it at each call. */
export function compile(packed: Packed): () => Exports {
  const main = new WebAssembly.Module(decode(packed.wasm));
  return () => packed.instantiate((imports) => link(main, packed, imports));
}

/** Makes an instance, which loads the later part when it first calls into it. */
export function link(
  main: WebAssembly.Module,
  packed: Packed,
  imports: WebAssembly.Imports,
): WebAssembly.Instance {
  const load = () => {
    const later = new WebAssembly.Module(decode(packed.later ?? ""));
    // Works on the memory of this instance, and puts its functions into a table that is called through.
    new WebAssembly.Instance(later, { ...imports, main: instance.exports });
  };
  const instance = new WebAssembly.Instance(main, { ...imports, later: { load } });
  return instance;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  // 0.1 ms where V8 has it (14), 6 ms by hand.
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
