// Globals that the platform does not have, or has in a narrower form.

/** Besides these, what belongs to the GPU, to a window and to a document. */
const MISSING = [
  "BroadcastChannel",
  "EventSource",
  "Lock",
  "LockManager",
  "Location",
  "NavigatorUAData",
  "OffscreenCanvas",
  "PerformanceObserver",
  "PerformanceObserverEntryList",
  "Storage",
  "WebSocketError",
  "WebSocketStream",
  "Worker",
  "alert",
  "close",
  "closed",
  "confirm",
  "localStorage",
  "location",
  "name",
  "prompt",
  "sessionStorage",
];

export function narrowGlobals(): void {
  const all = globalThis as Record<string, unknown>;
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (MISSING.includes(name) || /^(GPU|DOM(Matrix|Point|Quad|Rect)|ImageBitmapRendering)/.test(name)) {
      delete all[name];
    }
  }
  Object.defineProperty(Navigator.prototype, "hardwareConcurrency", { get: () => 1, configurable: true });
  narrowMemory();
}

/** No memory can be shared: there is nobody to share it with. */
function narrowMemory(): void {
  const { Memory } = WebAssembly;
  class Unshared extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      if (descriptor?.shared === true) throw new TypeError("Creating a shared memory is not supported");
      super(descriptor);
    }
    // The memories that a module makes itself are of it too.
    static override [Symbol.hasInstance](value: unknown): boolean {
      return Function.prototype[Symbol.hasInstance].call(Memory, value);
    }
  }
  Object.defineProperty(Unshared, "name", { value: "Memory" });
  WebAssembly.Memory = Unshared;
  (globalThis as Record<string, unknown>).SharedArrayBuffer = ArrayBuffer;
}
