// What `Deno` tells about its machine, which is made up, and what a function must not do to its process.

import { deno } from "./host.ts";

const NO_PROCESSES = "Spawning subprocesses is not allowed on Supabase Edge Runtime.";

class Command {
  constructor(readonly command: string, readonly options?: Deno.CommandOptions) {}

  output(): Promise<never> {
    return Promise.reject(new Error(NO_PROCESSES));
  }

  outputSync(): never {
    throw new Error(NO_PROCESSES);
  }

  spawn(): never {
    throw new Error(NO_PROCESSES);
  }
}

const GRANTED = { state: "granted", onchange: null, partial: false };
const isGranted = () => Promise.resolve(GRANTED);

const STARTED = performance.now();

/** The request side of a function is `Deno.serve`; a listener beside it never gets a connection. */
function listen(options: { transport?: string }): unknown {
  if (options?.transport === "unix") {
    throw new deno.errors.NotSupported("The operation is not supported");
  }
  let close: (() => void) | undefined;
  const closed = new Promise<void>((resolve) => close = resolve);
  return {
    addr: { transport: "tcp", hostname: "0.0.0.0", port: 9999 },
    async accept() {
      await closed;
      throw new deno.errors.BadResource("Listener has been closed");
    },
    [Symbol.asyncIterator]: () => ({ next: () => closed.then(() => ({ done: true, value: undefined })) }),
    close: () => close?.(),
    ref() {},
    unref() {},
  };
}

function ignore(): void {}

export const system = {
  Command,
  listen,
  kill: ignore,
  exit: ignore,
  addSignalListener: ignore,
  removeSignalListener: ignore,
  isatty: () => false,
  execPath: () => "/bin/edge-runtime",
  hostname: () => "localhost",
  uid: () => 1000,
  gid: () => 1000,
  loadavg: () => [0, 0, 0],
  osRelease: () => "0.0.0-00000000-generic",
  osUptime: () => Math.floor((performance.now() - STARTED) / 1000),
  consoleSize: () => ({ columns: 80, rows: 24 }),
  systemMemoryInfo: () => ({
    total: 0,
    free: 0,
    available: 0,
    buffers: 0,
    cached: 0,
    swapTotal: 0,
    swapFree: 0,
  }),
  networkInterfaces: () => [address("lo", "127.0.0.1", 8), address("eth0", "10.0.0.10", 24)],
  permissions: {
    query: isGranted,
    request: isGranted,
    revoke: isGranted,
    querySync: () => GRANTED,
    requestSync: () => GRANTED,
    revokeSync: () => GRANTED,
  },
  Permissions: deno.Permissions,
  PermissionStatus: deno.PermissionStatus,
  version: {
    ...deno.version,
    deno: "supabase-edge-runtime-local (compatible with Deno v2.1.4)",
  },
};

function address(name: string, ip: string, bits: number): Deno.NetworkInterfaceInfo {
  const netmask = bits === 8 ? "255.0.0.0" : "255.255.255.0";
  return {
    family: "IPv4",
    name,
    address: ip,
    netmask,
    scopeid: null,
    cidr: `${ip}/${bits}`,
    mac: name === "lo" ? "00:00:00:00:00:00" : "00:00:00:00:00:01",
  };
}
