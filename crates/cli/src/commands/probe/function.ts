// The temporary function of `ferry probe`: it tells what its runtime allows. It answers whoever shows TOKEN, names
// environment variables without their values, and touches nothing but a folder of its own below /tmp.

import fs from "node:fs";
import { spawnSync } from "node:child_process";
import { Worker as NodeWorker } from "node:worker_threads";

const TOKEN = "FERRY_PROBE_TOKEN";
const FOLDER = `/tmp/ferry-probe-${TOKEN}`;
const FILE = `${FOLDER}/file`;
/** More CPU than any limit allows: the platform's are 1 s and 2 s. */
const CPU_MS = 5_000;
/** More memory than the platform's 256 MB, in steps. */
const MEMORY_STEPS = 20;
const MEMORY_STEP = 16_777_216;
/** One that hangs must not keep the others from being made. */
const ATTEMPT_MS = 10_000;

type Outcomes = Record<string, string>;
type Attempts = Record<string, () => unknown>;

// What is absent from a runtime is absent from its types.
// deno-lint-ignore no-explicit-any
const api = Deno as any;

function reason(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

const SYNC: Attempts = {
  mkdirSync: () => Deno.mkdirSync(FOLDER, { recursive: true }),
  writeTextFileSync: () => Deno.writeTextFileSync(FILE, "x"),
  writeFileSync: () => Deno.writeFileSync(FILE, new Uint8Array(1)),
  readTextFileSync: () => Deno.readTextFileSync(FILE),
  readFileSync: () => Deno.readFileSync(FILE),
  readDirSync: () => [...Deno.readDirSync(FOLDER)],
  statSync: () => Deno.statSync(FILE),
  lstatSync: () => Deno.lstatSync(FILE),
  realPathSync: () => Deno.realPathSync(FILE),
  makeTempDirSync: () => Deno.makeTempDirSync({ dir: FOLDER }),
  makeTempFileSync: () => Deno.makeTempFileSync({ dir: FOLDER }),
  openSync: () => Deno.openSync(FILE).close(),
  renameSync: () => Deno.renameSync(FILE, FILE),
  copyFileSync: () => Deno.copyFileSync(FILE, `${FILE}-copy`),
  chmodSync: () => Deno.chmodSync(FILE, 0o600),
  truncateSync: () => Deno.truncateSync(FILE),
  removeSync: () => Deno.removeSync(FILE),
};

const LATER: Attempts = {
  mkdir: () => Deno.mkdir(FOLDER, { recursive: true }),
  writeTextFile: () => Deno.writeTextFile(FILE, "x"),
  writeFile: () => Deno.writeFile(FILE, new Uint8Array(1)),
  readTextFile: () => Deno.readTextFile(FILE),
  readFile: () => Deno.readFile(FILE),
  readDir: () => Array.fromAsync(Deno.readDir(FOLDER)),
  stat: () => Deno.stat(FILE),
  lstat: () => Deno.lstat(FILE),
  realPath: () => Deno.realPath(FILE),
  makeTempDir: () => Deno.makeTempDir({ dir: FOLDER }),
  makeTempFile: () => Deno.makeTempFile({ dir: FOLDER }),
  open: async () => (await Deno.open(FILE)).close(),
  create: async () => (await Deno.create(`${FILE}-created`)).close(),
  rename: () => Deno.rename(FILE, FILE),
  copyFile: () => Deno.copyFile(FILE, `${FILE}-copy`),
  chmod: () => Deno.chmod(FILE, 0o600),
  link: () => Deno.link(FILE, `${FILE}-link`),
  symlink: () => Deno.symlink(FILE, `${FILE}-symlink`),
  truncate: () => Deno.truncate(FILE),
  chdir: () => Deno.chdir("/tmp"),
  cwd: () => Deno.cwd(),
  execPath: () => Deno.execPath(),
  hostname: () => Deno.hostname(),
  uid: () => Deno.uid(),
  gid: () => Deno.gid(),
  loadavg: () => Deno.loadavg(),
  osRelease: () => Deno.osRelease(),
  osUptime: () => Deno.osUptime(),
  memoryUsage: () => Deno.memoryUsage(),
  systemMemoryInfo: () => Deno.systemMemoryInfo(),
  networkInterfaces: () => Deno.networkInterfaces(),
  "permissions.query": () => Deno.permissions.query({ name: "run" }),
  "env.set": () => Deno.env.set("FERRY_PROBE", "1"),
  "env.delete": () => Deno.env.delete("FERRY_PROBE"),
  "env.get of nothing": () => Deno.env.get(""),
  listen: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
  listenTls: () => Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: "", key: "" }).close(),
  "listen on a Unix socket": () => api.listen({ transport: "unix", path: `${FOLDER}/socket` }).close(),
  Command: () => new Deno.Command("true").outputSync(),
  "node:fs.existsSync": () => fs.existsSync(FILE),
  "node:fs.readdirSync": () => fs.readdirSync(FOLDER),
  "node:fs.renameSync": () => fs.renameSync(FILE, FILE),
  "node:child_process.spawnSync": () => {
    const { error } = spawnSync("true");
    if (error !== undefined) throw error;
  },
  "node:worker_threads.Worker": () => new NodeWorker("0", { eval: true }).terminate(),
  Worker: () => new Worker("data:text/javascript,0", { type: "module" }).terminate(),
  "shared WebAssembly.Memory": () => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }),
  // As the last one: it needs the folder no more.
  remove: () => Deno.remove(FOLDER, { recursive: true }),
};

/** Globals that some runtimes have not. */
const GLOBALS = [
  "BroadcastChannel",
  "CompressionStream",
  "EdgeRuntime",
  "EventSource",
  "SharedArrayBuffer",
  "Supabase",
  "URLPattern",
  "WebSocket",
  "WebSocketStream",
  "Worker",
  "caches",
  "localStorage",
  "location",
  "prompt",
];

function attemptNow(act: () => unknown): string {
  try {
    act();
    return "allowed";
  } catch (error) {
    return reason(error);
  }
}

async function attempt(act: () => unknown): Promise<string> {
  try {
    const ended = Promise.resolve(act()).then(() => "allowed");
    return await Promise.race([ended, pause(ATTEMPT_MS).then(() => "no outcome within 10 s")]);
  } catch (error) {
    return reason(error);
  }
}

const now = (attempts: Attempts): Outcomes =>
  Object.fromEntries(Object.entries(attempts).map(([name, act]) => [name, attemptNow(act)]));

// Before the first `await`: the platform allows more while the module is evaluated.
const AT_START = now(SYNC);

/** One after the other: some make what the next ones use. */
async function later(attempts: Attempts): Promise<Outcomes> {
  const outcomes: Outcomes = {};
  for (const [name, act] of Object.entries(attempts)) outcomes[name] = await attempt(act);
  return outcomes;
}

async function tell() {
  const environment = Object.keys(Deno.env.toObject()).sort();
  const synchronous = now(SYNC);
  return {
    versions: { ...Deno.version, userAgent: navigator.userAgent, threads: navigator.hardwareConcurrency },
    "Deno at start": AT_START,
    "Deno later": { ...synchronous, ...await later(LATER) },
    Deno: Object.keys(api).sort(),
    EdgeRuntime: Object.keys((globalThis as { EdgeRuntime?: object }).EdgeRuntime ?? {}).sort(),
    globals: Object.fromEntries(GLOBALS.map((name) => [name, kind(name)])),
    environment,
  };
}

function kind(name: string): string {
  try {
    return typeof (globalThis as Record<string, unknown>)[name];
  } catch (error) {
    return reason(error);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Works in slices. The fastest one tells what a slice costs where no other process has the CPU meanwhile. */
async function burn(): Promise<void> {
  let [slices, fastest] = [0, Infinity];
  while (slices * fastest < CPU_MS) {
    const started = performance.now();
    let sum = 0;
    for (let round = 0; round < 20_000_000; round++) sum += Math.sqrt(round);
    if (sum < 0) return;
    fastest = Math.min(fastest, performance.now() - started);
    slices += 1;
    await pause(0);
  }
}

async function allocate(): Promise<void> {
  const held: Uint8Array[] = [];
  for (let step = 0; step < MEMORY_STEPS; step++) {
    held.push(new Uint8Array(MEMORY_STEP).fill(1));
    await pause(20);
  }
  // A runtime may look only every second.
  await pause(3_000);
  if (held.length !== MEMORY_STEPS) throw new Error("unreachable");
}

Deno.serve(async (request, info) => {
  const url = new URL(request.url);
  if (request.headers.get("x-probe-token") !== TOKEN) return new Response("no", { status: 404 });
  switch (url.searchParams.get("part")) {
    case "tell":
      return Response.json(await tell());
    case "request":
      return Response.json({
        method: request.method,
        scheme: url.protocol,
        path: url.pathname,
        headers: [...request.headers.keys()].sort(),
        "header with é": request.headers.get("x-probe-text"),
        "remote address": info?.remoteAddr?.hostname === "0.0.0.0" ? "hidden" : "visible",
        body: await request.text(),
      });
    case "throw":
      throw new Error("thrown by ferry probe");
    case "nothing":
      return undefined as unknown as Response;
    case "reject":
      Promise.reject(new Error("rejected by ferry probe"));
      await pause(5_000);
      return new Response("survived");
    case "cpu":
      await burn();
      return new Response("survived");
    case "memory":
      await allocate();
      return new Response("survived");
    default:
      return new Response("ready");
  }
});
