// Workers as the local stack starts them: a function under the prelude, in a process of its own.

const PRELUDE = new URL("../../crates/cli/src/stack/runtime/prelude.ts", import.meta.url);

/** A variable that Deno needs and the function does not see. */
export const HIDDEN = "HOME";

export interface Worker {
  url: string;
  /** Asks the function, which mostly answers with JSON. */
  ask(path?: string, init?: RequestInit): Promise<Response>;
  signal(signal: Deno.Signal): void;
  /** Gives an order, as `runtime/limits.ts` lists them. */
  order(order: string): Promise<void>;
  /** What the function has printed, once it has ended, and its exit code. */
  ended: Promise<{ code: number; output: string }>;
  /** The folder that the function sees as `/tmp`. */
  tmp: string;
}

/** Runs a test with a worker for the code of a function. */
export async function withWorker(
  code: string,
  test: (worker: Worker) => Promise<void>,
  { env = {}, callsPerMinute = 5_000, functions = "http://127.0.0.1:1/functions/v1/" } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "ironferry-runtime-" });
  const sources = `${folder}/functions`;
  const tmp = `${folder}/worker/tmp`;
  await Deno.mkdir(sources);
  await Deno.mkdir(tmp, { recursive: true });
  await Deno.writeTextFile(`${sources}/index.ts`, code);
  await Deno.writeTextFile(`${sources}/static.txt`, "bundled");
  const port = freePort();
  const hidden = ["DENO_SERVE_ADDRESS", "DENO_NO_UPDATE_CHECK", "NO_COLOR", "PATH", "DENO_DIR", HIDDEN];
  const staticFiles = [`${sources}/**/*.txt`];
  const host = { tmp, sources: [sources], staticFiles, hidden, functions, callsPerMinute };
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--no-lock", "--no-config", "--allow-net", "--allow-env"],
      `--allow-read=${sources},${folder}/worker`,
      `--allow-write=${tmp}`,
      `--preload=${PRELUDE.pathname}`,
      `${sources}/index.ts`,
    ],
    cwd: sources,
    clearEnv: true,
    env: {
      ...Object.fromEntries(["HOME", "PATH", "DENO_DIR"].map((name) => [name, Deno.env.get(name) ?? ""])),
      ...env,
      DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
      DENO_NO_UPDATE_CHECK: "1",
      NO_COLOR: "1",
      FERRY_WORKER: JSON.stringify(host),
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let running = true;
  const ended = process.output().then(({ code, stdout, stderr }) => {
    running = false;
    const text = new TextDecoder();
    const lines = (text.decode(stdout) + text.decode(stderr)).split("\n");
    // Without what the worker reports to the stack.
    return { code, output: lines.filter((line) => !line.startsWith("\x1e")).join("\n") };
  });
  const url = `http://127.0.0.1:${port}`;
  const orders = process.stdin.getWriter();
  try {
    while (running && !await listens(port)) await new Promise((resolve) => setTimeout(resolve, 20));
    await test({
      url,
      ended,
      tmp,
      ask: (path = "/", init) => fetch(url + path, init),
      signal: (signal) => process.kill(signal),
      order: (order) => orders.write(new TextEncoder().encode(`${order}\n`)),
    });
  } finally {
    if (running) process.kill("SIGKILL");
    await ended;
    await orders.close().catch(() => {});
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs statements in a worker, at the start of its module or in its handler, and gives back what each made. */
export async function outcomes(
  calls: Record<string, string>,
  options?: Parameters<typeof withWorker>[2],
): Promise<
  { start: Record<string, unknown>; request: Record<string, unknown> }
> {
  // Nothing is awaited at the start: that would end it.
  const functions = Object.entries(calls).map(([name, call]) => `${JSON.stringify(name)}: () => ${call},`);
  let seen;
  await withWorker(
    `
      const calls = { ${functions.join("\n")} };
      const told = (error) => \`\${error.name}: \${error.message}\`;
      const settle = (value) => value instanceof Promise ? value.catch(told) : value;
      const attempt = (call) => { try { return settle(call()); } catch (error) { return told(error); } };
      const start = {};
      for (const [name, call] of Object.entries(calls)) start[name] = attempt(call);
      Deno.serve(async () => {
        const request = {};
        for (const name in calls) request[name] = await attempt(calls[name]) ?? null;
        for (const name in start) start[name] = await start[name] ?? null;
        return Response.json({ start, request });
      });
    `,
    async (worker) => {
      seen = await (await worker.ask()).json();
    },
    options,
  );
  if (seen === undefined) throw new Error("the worker has not answered");
  return seen;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    return listener.addr.port;
  } finally {
    listener.close();
  }
}

function listens(port: number): Promise<boolean> {
  return Deno.connect({ hostname: "127.0.0.1", port }).then((connection) => {
    connection.close();
    return true;
  }, () => false);
}
