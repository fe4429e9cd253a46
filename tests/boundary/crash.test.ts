// A crash costs one request: the others end well or fail alone, the next one succeeds, and nothing
// hangs. Each way to crash is tried with other requests in flight.

import { assert, assertEquals } from "./server.ts";

Deno.env.set("LOG_LEVEL", "error");
const { handle } = await import("../functions/boundary/index.ts");

const get = (path: string, id = "crash-test") =>
  handle(new Request(`http://localhost/boundary${path}`, { headers: { "x-request-id": id } }));

/** Runs while the shim's log is kept instead of printed. */
async function withLog<T>(
  work: (kept: Record<string, string>[]) => Promise<T>,
): Promise<[T, Record<string, string>[]]> {
  const kept: Record<string, string>[] = [];
  const print = console.error;
  console.error = (line: string) => kept.push(JSON.parse(line));
  try {
    return [await work(kept), kept];
  } finally {
    console.error = print;
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs: no answer in ${ms} ms`)), ms);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** What becomes of the requests that were in flight on the same instance. */
const CRASHES: [how: string, others: number[]][] = [
  ["at-once", [200]],
  ["after-await", [200]],
  ["bounds", [200]],
  // The instance's stack or memory is spent: they may fail, but they must not hang.
  ["stack", [200, 500]],
  ["memory", [200, 500]],
];

for (const [how, others] of CRASHES) {
  Deno.test(`a crash (${how}) costs one request`, async () => {
    const [, log] = await withLog(async () => {
      const inFlight = [get("/sleep?ms=60"), get("/background?ms=60"), get("/sleep?ms=80")];
      const reply = await within(60_000, get(`/crash?how=${how}`, `victim-${how}`));
      assertEquals(reply.status, 500);
      const { success, code, request_id } = await reply.json();
      assertEquals([success, code, request_id], [false, "CRASHED", `victim-${how}`]);

      const next = await within(60_000, get("/sleep?ms=1"));
      assertEquals([next.status, await next.json()], [200, "awake"]);
      for (const other of inFlight) {
        const { status, body } = await within(60_000, other);
        await body?.cancel();
        assert(status === 202 || others.includes(status), `another request got ${status}`);
      }
    });
    const line = log.find((line) => line.request_id === `victim-${how}`);
    assert(line !== undefined, "the crash was not logged under the request's id");
    if (how === "at-once") assert(line.error.includes("a panic, on purpose"), line.error);
  });
}

Deno.test("a crash in the background leaves the reply as it was and is logged", async () => {
  const [reply, log] = await withLog(async (kept) => {
    const reply = await get("/background?ms=5&crash", "behind");
    for (let tries = 0; kept.length === 0 && tries < 6_000; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return reply;
  });
  assertEquals([reply.status, await reply.json()], [202, "accepted"]);
  assertEquals(log.map((line) => [line.event, line.request_id]), [["crashed", "behind"]]);
});

for (const how of ["at-once", "after-await", "bounds"]) {
  Deno.test(`a crash (${how}) in isolated work costs that work only`, async () => {
    const [reply, log] = await withLog(() => within(60_000, get(`/isolated?how=${how}`, "inside")));
    assertEquals([reply.status, await reply.json()], [200, { code: "CRASHED", slept: true }]);
    assertEquals(log.map((line) => [line.event, line.request_id]), [["crashed", "inside"]]);
  });
}

Deno.test("a thousand crashes in a row leave the worker as it was", async () => {
  await withLog(async () => {
    for (let number = 0; number < 1_000; number++) {
      const reply = await get("/crash?how=at-once");
      assertEquals(reply.status, 500);
      await reply.body?.cancel();
    }
  });
  const after = await get("/sleep?ms=1");
  assertEquals([after.status, await after.json()], [200, "awake"]);
});
