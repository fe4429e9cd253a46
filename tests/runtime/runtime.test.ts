// What the local runtime refuses, as the hosted one does. Each test runs a function in a worker of its own.

import { assert, assertEquals } from "../boundary/server.ts";
import { HIDDEN, outcomes, withWorker } from "./worker.ts";

const json = async (reply: Promise<Response>) => await (await reply).json();

Deno.test("files can be read and written at any time, and only in the asynchronous forms", async () => {
  const { start, request } = await outcomes({
    write: "Deno.writeTextFile('/tmp/a/../note', 'kept').then(() => Deno.readTextFile('/tmp/note'))",
    url: "Deno.writeTextFile('/tmp/b', 'b').then(() => Deno.readTextFile(new URL('file:///tmp/b')))",
    list: "Deno.mkdir('/tmp/folder/x', { recursive: true }).then(() => " +
      "Array.fromAsync(Deno.readDir('/tmp/folder'))).then((all) => all.map(({ name }) => name))",
    stat: "Deno.stat('/tmp').then(({ isDirectory }) => isDirectory)",
    open: "Deno.open('/tmp/c', { create: true, write: true }).then((file) => file.close())",
    temporary: "Deno.makeTempFile({ prefix: 'p-' }).then((path) => /^\\/tmp\\/p-/.test(path))",
    real: "Deno.realPathSync('/tmp')",
    missing: "Deno.readTextFile('/tmp/none')",
    elsewhere: "Deno.readTextFile('/etc/passwd').catch(({ name }) => name)",
  });
  const expected = {
    write: "kept",
    url: "b",
    list: ["x"],
    stat: true,
    open: null,
    temporary: true,
    real: "/tmp",
    missing: "NotFound: No such file or directory (os error 2): readfile '/tmp/none'",
    elsewhere: "NotFound",
  };
  assertEquals(start, expected);
  assertEquals(request, expected);
});

Deno.test("of the project only static files can be read, and nothing else is done to them", async () => {
  const file = "import.meta.dirname + '/static.txt'";
  const { start, request } = await outcomes({
    static: `Deno.readTextFile(${file})`,
    readTextFileSync: `Deno.readTextFileSync(${file})`,
    relative: "Deno.readTextFile('./static.txt')",
    source: "Deno.readTextFile(import.meta.filename).catch(({ name }) => name)",
    open: `Deno.open(${file}).catch(({ name }) => name)`,
    stat: `Deno.stat(${file})`,
    list: "Array.fromAsync(Deno.readDir(import.meta.dirname))",
    remove: `Deno.remove(${file})`,
  });
  const unsupported = "NotSupported: The operation is not supported";
  const expected = {
    static: "bundled",
    readTextFileSync: "bundled",
    relative: "bundled",
    source: "NotFound",
    open: "NotFound",
    stat: unsupported,
    list: unsupported,
    remove: unsupported,
  };
  assertEquals(start, expected);
  assertEquals(request, {
    ...expected,
    readTextFileSync: "PermissionDenied: Deno.readTextFileSync is blocklisted on the current context",
  });
});

Deno.test("synchronous file calls work only while the module starts", async () => {
  const calls = {
    writeTextFileSync: "Deno.writeTextFileSync('/tmp/sync', 'sync')",
    readTextFileSync: "Deno.readTextFileSync('/tmp/sync')",
    statSync: "Deno.statSync('/tmp/sync').size",
    readDirSync: "[...Deno.readDirSync('/tmp')].length",
    makeTempFileSync: "Deno.makeTempFileSync().startsWith('/tmp/')",
    removeSync: "Deno.removeSync('/tmp/sync')",
  };
  const { start, request } = await outcomes(calls);
  assertEquals(start, {
    writeTextFileSync: null,
    readTextFileSync: "sync",
    statSync: 4,
    readDirSync: 1,
    makeTempFileSync: true,
    removeSync: null,
  });
  for (const name of Object.keys(calls)) {
    assertEquals(request[name], `PermissionDenied: Deno.${name} is blocklisted on the current context`);
  }
});

Deno.test("the start of a module ends at its first await", async () => {
  const code = `
    const read = () => { try { return Deno.statSync("/tmp").isDirectory; } catch ({ name }) { return name; } };
    const seen = [read()];
    queueMicrotask(() => seen.push(read()));
    await import("./later.ts").catch(() => seen.push(read()));
    Deno.serve(() => Response.json(seen));
  `;
  await withWorker(code, async (worker) => {
    assertEquals(await json(worker.ask()), [true, "PermissionDenied", "PermissionDenied"]);
  });
});

Deno.test("all other file calls are refused, at the start as well", async () => {
  const calls = {
    rename: "Deno.rename('/tmp/a', '/tmp/b')",
    renameSync: "Deno.renameSync('/tmp/a', '/tmp/b')",
    copyFile: "Deno.copyFile('/tmp/a', '/tmp/b')",
    chmod: "Deno.chmod('/tmp/a', 0o600)",
    symlink: "Deno.symlink('/tmp/a', '/tmp/b')",
    truncate: "Deno.truncate('/tmp/a')",
    openSync: "Deno.openSync('/tmp/a')",
    chdir: "Deno.chdir('/tmp')",
  };
  const { start, request } = await outcomes(calls);
  for (const name of Object.keys(calls)) {
    assertEquals(start[name], `PermissionDenied: Deno.${name} is blocklisted`);
    assertEquals(request[name], `PermissionDenied: Deno.${name} is blocklisted`);
  }
});

Deno.test("Node's file calls are narrowed in the same way", async () => {
  const code = `
    import fs from "node:fs";
    import threads from "node:worker_threads";
    import { writeFile } from "node:fs/promises";
    const told = ({ message }) => message;
    const attempt = (call) => { try { return call(); } catch (error) { return told(error); } };
    Deno.serve(async () => Response.json([
      attempt(() => fs.renameSync("/tmp/a", "/tmp/b")),
      await fs.promises.writeFile("/tmp/note", "kept").then(() => Deno.readTextFile("/tmp/note")),
      attempt(() => fs.readFileSync("/tmp/note", "utf8")),
      fs.existsSync("/tmp/note"),
      await writeFile("/etc/ironferry", "").catch(({ name }) => name) ?? "written",
      await fs.promises.stat("/tmp/note").then(({ size }) => size),
      await fs.promises.mkdir("/tmp/a/b", { recursive: true }).then(() => Deno.stat("/tmp/a/b")).then(({ isDirectory }) =>
        isDirectory
      ),
      attempt(() => new threads.Worker("", { eval: true })),
    ]));
  `;
  await withWorker(code, async (worker) => {
    const [rename, kept, read, exists, elsewhere, size, made, thread] = await json(worker.ask());
    assertEquals(rename, "Deno.renameSync is blocklisted");
    assertEquals(kept, "kept");
    assertEquals(read, "Deno.readFileSync is blocklisted on the current context");
    assertEquals(exists, true);
    assert(elsewhere !== "written");
    assertEquals([size, made], [4, true]);
    assertEquals(thread, "Not implemented: node:worker_threads.Worker");
  });
});

Deno.test("no process can be started or ended", async () => {
  const { request } = await outcomes({
    command: "new Deno.Command('ls').output()",
    spawn: "new Deno.Command('ls').spawn()",
    child: "import('node:child_process').then(({ execSync }) => { execSync('ls'); return 'it ran'; })",
    kill: "Deno.kill(Deno.pid)",
    exit: "Deno.exit(1)",
    process: "globalThis.process.exit(1)",
    listener: "Deno.addSignalListener('SIGTERM', () => {})",
    run: "typeof Deno.run + typeof Deno.dlopen + typeof Deno.watchFs + typeof Deno.inspect",
  });
  const { child, ...others } = request;
  const refused = "Error: Spawning subprocesses is not allowed on Supabase Edge Runtime.";
  assertEquals(others, {
    command: refused,
    spawn: refused,
    kill: null,
    exit: null,
    process: null,
    listener: null,
    run: "undefinedundefinedundefinedundefined",
  });
  assert(child !== "it ran", String(child));
});

Deno.test("the environment is the function's own and cannot be changed", async () => {
  const { request } = await outcomes({
    get: "Deno.env.get('MINE')",
    all: "Deno.env.toObject()",
    node: "globalThis.process.env",
    hidden: `Deno.env.has('${HIDDEN}')`,
    set: "Deno.env.set('MINE', 'other')",
    delete: "Deno.env.delete('MINE') ?? Deno.env.get('MINE')",
    empty: "Deno.env.get('')",
    invalid: "Deno.env.get('a=b')",
  }, { env: { MINE: "set" } });
  assertEquals(request, {
    get: "set",
    all: { MINE: "set" },
    node: { MINE: "set" },
    hidden: false,
    set: "NotSupported: The operation is not supported",
    delete: "set",
    empty: "TypeError: Key is an empty string.",
    invalid: 'TypeError: Key contains invalid characters: "a=b"',
  });
});

Deno.test("what the machine is like is made up", async () => {
  const { request } = await outcomes({
    host: "[Deno.hostname(), Deno.uid(), Deno.gid(), Deno.execPath(), Deno.loadavg()]",
    granted: "Deno.permissions.query({ name: 'run' }).then(({ state }) => state)",
    processors: "navigator.hardwareConcurrency",
    listen: "Deno.listen({ port: 80 }).addr",
    unix: "Deno.listen({ transport: 'unix', path: '/tmp/socket' })",
  });
  assertEquals(request, {
    host: ["localhost", 1000, 1000, "/bin/edge-runtime", [0, 0, 0]],
    granted: "granted",
    processors: 1,
    listen: { transport: "tcp", hostname: "0.0.0.0", port: 9999 },
    unix: "NotSupported: The operation is not supported",
  });
});

Deno.test("globals that the platform does not have are absent, and memory cannot be shared", async () => {
  const names = [
    "Worker",
    "BroadcastChannel",
    "WebSocketStream",
    "EventSource",
    "localStorage",
    "location",
    "prompt",
  ];
  const { request } = await outcomes({
    types: `${JSON.stringify(names)}.filter((name) => name in globalThis)`,
    shared: "new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })",
    own: "new WebAssembly.Memory({ initial: 1 }).buffer.byteLength",
  });
  assertEquals(request, {
    types: [],
    shared: "TypeError: Creating a shared memory is not supported",
    own: 65_536,
  });
});

Deno.test("a handler that throws or gives no response is answered as hosted", async () => {
  const code = `Deno.serve({ port: 1, hostname: "example.org" }, (request, info) => {
    switch (new URL(request.url).pathname) {
      case "/throws": throw new Error("oh");
      case "/rejects": return Promise.reject(new Error("oh"));
      case "/nothing": return undefined;
      case "/text": return Promise.resolve("text");
      default: return Response.json({ ...info, body: request.body });
    }
  });`;
  await withWorker(code, async (worker) => {
    const seen = async (path: string) => {
      const reply = await worker.ask(path);
      return [reply.status, await reply.text()];
    };
    assertEquals(await seen("/throws"), [500, "Internal Server Error"]);
    assertEquals(await seen("/rejects"), [500, "Internal Server Error"]);
    assertEquals(await seen("/nothing"), [502, "Bad Gateway"]);
    assertEquals(await seen("/text"), [502, "Bad Gateway"]);
    const told = await json(worker.ask());
    assertEquals(told, {
      remoteAddr: { hostname: "0.0.0.0", port: 9999, transport: "tcp" },
      body: null,
    });
  });
});

Deno.test("onListen and onError are called, and a worker serves once", async () => {
  const code = `
    let address, second;
    Deno.serve({
      onListen: (listening) => address = listening,
      onError: ({ message }) => new Response(message, { status: 418 }),
      handler: (request) => {
        if (request.url.endsWith("/throws")) throw new Error("handled");
        return Response.json({ address, second });
      },
    });
    try { Deno.serve(() => new Response()); } catch ({ name }) { second = name; }
  `;
  await withWorker(code, async (worker) => {
    const reply = await worker.ask("/throws");
    assertEquals([reply.status, await reply.text()], [418, "handled"]);
    assertEquals(await json(worker.ask()), {
      address: { hostname: "0.0.0.0", port: 9999 },
      second: "AddrInUse",
    });
  });
});

Deno.test("the fetch of a default export serves", async () => {
  const code = "export default { text: 'served', fetch() { return new Response(this.text); } };";
  await withWorker(code, async (worker) => {
    assertEquals(await (await worker.ask()).text(), "served");
  });
});

Deno.test("an unhandled rejection ends the worker with all its requests", async () => {
  const code = `Deno.serve(async (request) => {
    if (request.url.endsWith("/breaks")) Promise.reject(new Error("nobody handles it"));
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    return new Response();
  });`;
  await withWorker(code, async (worker) => {
    const requests = [worker.ask(), worker.ask("/breaks")].map((reply) =>
      reply.then(() => "answered", () => "failed")
    );
    assertEquals(await Promise.all(requests), ["failed", "failed"]);
    const { code, output } = await worker.ended;
    assert(code !== 0 && output.includes("nobody handles it"), output);
  });
});

/** Tells when it ends, and hands over work of which a part is no native promise. */
const ENDING = `
  addEventListener("beforeunload", ({ detail }) => {
    console.log("ending:", detail.reason);
    new Promise((resolve) => setTimeout(resolve, 10)).then(() => console.log("went on"));
  });
  addEventListener("unload", () => console.log("unload fired"));
  Deno.serve((request) => {
    const ms = Number(new URL(request.url).searchParams.get("ms"));
    const work = new Promise((resolve) => setTimeout(resolve, ms)).then(() => console.log("work done"));
    const handed = EdgeRuntime.waitUntil(request.url.includes("thenable") ? { then: () => {} } : work);
    return Response.json(handed === work);
  });
`;

Deno.test("a worker that retires finishes the work that was handed over, and nothing else", async () => {
  await withWorker(ENDING, async (worker) => {
    assertEquals(await json(worker.ask("/?ms=300")), true);
    await worker.order("retire early_drop");
    const { code, output } = await worker.ended;
    assertEquals([code, output], [0, "work done\nending: early_drop\n"]);
  });
});

Deno.test("only native promises keep a worker", async () => {
  await withWorker(ENDING, async (worker) => {
    assertEquals(await json(worker.ask("/thenable?ms=60000")), false);
    await worker.order("retire early_drop");
    assertEquals((await worker.ended).output, "ending: early_drop\n");
  });
});

Deno.test("a retiring worker answers the requests under way", async () => {
  const code = `Deno.serve(async () => {
    console.log("begun");
    await new Promise((resolve) => setTimeout(resolve, 500));
    return new Response("answered");
  });`;
  await withWorker(code, async (worker) => {
    const reply = worker.ask();
    await new Promise((resolve) => setTimeout(resolve, 250));
    await worker.order("retire early_drop");
    assertEquals(await (await reply).text(), "answered");
    assertEquals((await worker.ended).code, 0);
  });
});

Deno.test("a worker that is terminated waits for nothing", async () => {
  await withWorker(ENDING, async (worker) => {
    assertEquals(await json(worker.ask("/?ms=60000")), true);
    worker.signal("SIGTERM");
    assertEquals((await worker.ended).output, "ending: termination\n");
  });
});

Deno.test("a limit that is near is announced once by its name, and the worker goes on", async () => {
  await withWorker(ENDING, async (worker) => {
    await worker.order("announce cpu");
    await worker.order("announce cpu");
    assertEquals(await json(worker.ask("/?ms=200")), true);
    await worker.order("retire early_drop");
    assertEquals((await worker.ended).output, "ending: cpu\nwent on\nwork done\nending: early_drop\n");
  });
});

Deno.test("calls of functions beyond the limit of their trace reject", async () => {
  const server = Deno.serve({ port: 0, onListen: () => {} }, () => new Response("called"));
  const address = `http://localhost:${server.addr.port}`;
  const code = `Deno.serve(async (request) => {
    const outcomes = [];
    for (const path of ["/functions/v1/a", "/functions/v1/b", "/functions/v1/a", "/rest/v1/a"]) {
      outcomes.push(await fetch("${address}" + path).then((reply) => reply.text(), (error) => error instanceof
        Deno.errors.RateLimitError && error.retryAfterMs > 0 && error.name + ": " + error.message));
    }
    return Response.json(outcomes);
  });`;
  const trace = (id: string) => ({ headers: { traceparent: `00-${id}-b7ad6b7169203331-01` } });
  const refused = (whose: string) =>
    new RegExp(`^RateLimitError: Rate limit exceeded for ${whose}\\. Retry after \\d+ms\\.$`);
  const options = { callsPerMinute: 2, functions: `${address}/functions/v1/` };
  await withWorker(code, async (worker) => {
    for (const id of ["0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c", undefined]) {
      const [first, second, third, other] = await json(worker.ask("/", id ? trace(id) : {}));
      assertEquals([first, second, other], ["called", "called", "called"]);
      assert(refused(id ? `trace ${id}` : "function").test(third), String(third));
    }
  }, options);
  await server.shutdown();
});
