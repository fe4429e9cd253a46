// Decodes and compiles a packed module.

import type { Shim } from "./wasm.ts";

/** What `scripts/build` packs. */
export interface Packed {
  name: string;
  /** The digest of all that the module is made of. */
  source: string;
  /** The module, base64. */
  wasm: string;
  /** Makes an instance with state of its own. */
  instantiate(module: WebAssembly.Module): Exports;
}

/** The module's exports, see `crates/ironferry/src/wasm.rs`. */
export interface Exports {
  start(secrets: Record<string, string>, shim: Shim): void;
  begin(request: number, head: string, body: Uint8Array): void;
  resume(effect: number, status: number, head: string, body: Uint8Array): void;
  turn(): void;
  trapped_task(): number | undefined;
  trapped_request(): number | undefined;
  trapped_reply(): boolean;
}

/** Compiles a module and returns a function that makes an instance of it at each call. */
export function compile(packed: Packed): () => Exports {
  const module = new WebAssembly.Module(decode(packed.wasm));
  return () => packed.instantiate(module);
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  // 0.1 ms where V8 has it (14), 6 ms by hand.
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
