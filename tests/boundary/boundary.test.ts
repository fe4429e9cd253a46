// The boundary between a module and its shim, under the real runtime: everything that crosses it,
// in both directions. Runs on the current Deno and on 2.1, the hosted runtime's level.

import { assert, assertEquals, certificate, outside, shouting } from "./server.ts";

const SIGNING = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
  "sign",
  "verify",
]);
const jwk = { ...await crypto.subtle.exportKey("jwk", SIGNING.publicKey), kid: "one" };

Deno.env.set("SUPABASE_JWKS", JSON.stringify({ keys: [jwk] }));
Deno.env.set("SUPABASE_SECRET_KEYS", JSON.stringify({ default: "sb_secret_for_the_boundary" }));
Deno.env.set("SERVICE_API_KEY", "the-old-key, the-new-key");
Deno.env.set("TEST_KEY", "a-value-that-must-not-leak");
Deno.env.set("UNDECLARED_KEY", "never seen");
Deno.env.set("LOG_LEVEL", "error");
Deno.env.set("CLIENT_IP_HEADER", "X-Front-End");
const { handle, instances } = await import("../functions/boundary/index.ts");

const BASE = "http://localhost/boundary";
const get = (path: string, headers: Record<string, string> = {}) =>
  handle(new Request(BASE + path, { headers }));
const post = (path: string, body: BodyInit, headers: Record<string, string> = {}) =>
  handle(new Request(BASE + path, { method: "POST", body, headers }));
const json = async (reply: Promise<Response>) => await (await reply).json();

Deno.test("a body crosses both ways unchanged: binary, empty, unicode, large", async () => {
  const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  for (
    const body of [
      every,
      new Uint8Array(),
      new TextEncoder().encode("żółć 🦀"),
      new Uint8Array(999_999).fill(7),
    ]
  ) {
    const reply = await post("/echo", body);
    assertEquals(reply.status, 200);
    assertEquals([...new Uint8Array(await reply.arrayBuffer())].length, body.length);
    const again = new Uint8Array(await (await post("/echo", body)).arrayBuffer());
    assert(again.every((byte, at) => byte === body[at]), "the body has changed");
  }
});

Deno.test("JSON with unicode and deep nesting crosses unchanged", async () => {
  const value = { "ключ": ["🦀", { a: [[[[1.5, -0, 1e300]]]] }, null, true, '\u0000\\"\n'] };
  assertEquals(
    await json(post("/json", JSON.stringify(value), { "content-type": "application/json" })),
    value,
  );
});

Deno.test("a request header is seen when the function declared it, and only then", async () => {
  const seen = await json(
    get("/headers", { "x-shown": "yes ÿ", "x-hidden": "no", authorization: "Bearer x" }),
  );
  assertEquals([seen["x-hidden"], seen.authorization], [undefined, "Bearer x"]);
  assert(seen["x-shown"].startsWith("yes"));
  const reply = await get("/headers");
  assertEquals([reply.headers.get("x-seen"), reply.headers.get("access-control-allow-origin")], ["yes", "*"]);
  await reply.body?.cancel();
});

Deno.test("the header of the operator's front end is seen, and no other that claims to tell who calls", async () => {
  const sent = {
    "x-front-end": "203.0.113.1",
    "x-forwarded-for": "203.0.113.2",
    "cf-connecting-ip": "203.0.113.3",
  };
  const { "x-request-id": _, ...seen } = await json(get("/headers", sent));
  assertEquals(seen, { "x-front-end": "203.0.113.1" });
});

Deno.test("each header that the SDK reads arrives under its own name, one that is missing or empty not at all", async () => {
  const names = [
    "accept",
    "access-control-request-method",
    "apikey",
    "authorization",
    "content-type",
    "origin",
    "x-request-id",
    "x-service-key",
    "x-shown",
  ];
  const sent = Object.fromEntries(names.map((name) => [name, `a.${name}`]));
  assertEquals(await json(get("/headers", sent)), sent);
  for (const left of names.filter((name) => name !== "x-request-id")) {
    const { [left]: _, ...others } = sent;
    assertEquals(await json(get("/headers", others)), others);
    const { [left]: empty, ...told } = await json(get("/headers", { ...sent, [left]: "" }));
    assertEquals([empty ?? "", told], ["", others]);
  }
  const { "x-shown": shown } = await json(get("/headers", { "x-shown": "a: b:c" }));
  assertEquals(shown, "a: b:c");
});

Deno.test("a harmless request id is kept, another one is replaced", async () => {
  for (const [given, kept] of [["order-7.a", true], ['x"}{', false], ["y".repeat(65), false]] as const) {
    const reply = await get("/nowhere", { "x-request-id": given });
    const { request_id, code, success } = await reply.json();
    assertEquals([request_id === given, code, success], [kept, "NOT_FOUND", false]);
    assertEquals(reply.headers.get("x-request-id"), request_id);
  }
});

Deno.test("a body that is too large is refused with 413, announced or not", async () => {
  const large = new Uint8Array(1_000_001);
  const stream = new Blob([large]).stream();
  for (const [body, headers] of [[large, { "content-length": "1000001" }], [stream, {}]] as const) {
    const reply = await post("/echo", body, headers);
    assertEquals([reply.status, (await reply.json()).code], [413, "BODY_TOO_LARGE"]);
  }
});

Deno.test("malformed JSON is a 400 that says where, another type a 415", async () => {
  const reply = await post("/json", '{"a": [1, }', { "content-type": "application/json" });
  assertEquals([reply.status, (await reply.json()).code], [400, "INVALID_JSON"]);
  const text = await post("/json", "{}", { "content-type": "text/plain" });
  assertEquals([text.status, (await text.json()).code], [415, "UNSUPPORTED_MEDIA_TYPE"]);
  const wrong = await get("/echo");
  assertEquals([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
  await wrong.body?.cancel();
});

Deno.test("a module sees the secrets that it declared and no others", async () => {
  assertEquals(await json(get("/secret?name=TEST_KEY")), "a-value-that-must-not-leak");
  assertEquals(await json(get("/secret?name=UNDECLARED_KEY")), null);
});

Deno.test("a known secret does not leave in an error", async () => {
  const reply = await get("/leak");
  const text = await reply.text();
  assertEquals(reply.status, 500);
  assert(text.includes("the key is [redacted]"), text);
});

Deno.test("a service shows one of the overlapping keys or a secret key of the project", async () => {
  for (
    const [headers, status] of [
      [{ "x-service-key": "the-old-key" }, 200],
      [{ "x-service-key": "the-new-key" }, 200],
      [{ "x-service-key": "the-new-kez" }, 401],
      [{ "x-service-key": "the-old-key, the-new-key" }, 401],
      [{ "x-service-key": "" }, 401],
      [{ apikey: "sb_secret_for_the_boundary" }, 200],
      [{ authorization: "Bearer sb_secret_for_the_boundary" }, 200],
      [{ apikey: "sb_publishable_x" }, 401],
      [{}, 401],
    ] as [Record<string, string>, number][]
  ) {
    const reply = await get("/service", headers);
    await reply.body?.cancel();
    assertEquals([headers, reply.status], [headers, status]);
  }
});

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function token(claims: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
  const part = (value: unknown) => base64url(new TextEncoder().encode(JSON.stringify(value)));
  const signed = `${part({ alg: "ES256", kid: "one", ...header })}.${part(claims)}`;
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const bytes = await crypto.subtle.sign(algorithm, SIGNING.privateKey, new TextEncoder().encode(signed));
  return `${signed}.${base64url(new Uint8Array(bytes))}`;
}

Deno.test("a user's JWT is verified: signature, time, role, key and algorithm", async () => {
  const exp = Math.floor(Date.now() / 1_000) + 60;
  const user = { sub: "user-1", role: "authenticated", exp };
  const good = await token(user);
  const tampered = good.replace(
    /\.[^.]+\./,
    `.${base64url(new TextEncoder().encode(JSON.stringify({ ...user, sub: "user-2" })))}.`,
  );
  for (
    const [bearer, status, code] of [
      [good, 200, undefined],
      [tampered, 401, "INVALID_TOKEN"],
      [await token({ ...user, exp: exp - 120 }), 401, "TOKEN_EXPIRED"],
      [await token({ ...user, role: "service_role" }), 401, "INVALID_TOKEN"],
      [await token({ ...user, nbf: exp + 100 }), 401, "INVALID_TOKEN"],
      [await token(user, { kid: "another" }), 401, "INVALID_TOKEN"],
      [await token(user, { alg: "none" }), 401, "INVALID_TOKEN"],
      [await token(user, { alg: "HS256" }), 401, "INVALID_TOKEN"],
      ["a.b.c", 401, "INVALID_TOKEN"],
      ["", 401, "INVALID_TOKEN"],
    ] as const
  ) {
    const reply = await get("/user", bearer === "" ? {} : { authorization: `Bearer ${bearer}` });
    const body = await reply.json();
    assertEquals([reply.status, body.code], [status, code]);
  }
});

Deno.test("a legacy project's HS256 token is verified by JWT_SECRET, and by nothing that is public", async () => {
  const secret = "a-legacy-secret-of-32-characters!";
  const publicKey = JSON.stringify(jwk);
  Deno.env.set("JWT_SECRET", secret);
  const legacy = (await import("../functions/boundary/index.ts?legacy")).handle;
  Deno.env.delete("JWT_SECRET");
  const ask = async (handler: typeof handle, signedWith: string) => {
    const part = (value: unknown) => base64url(new TextEncoder().encode(JSON.stringify(value)));
    const claims = { sub: "user-1", role: "authenticated", exp: Math.floor(Date.now() / 1_000) + 60 };
    const signed = `${part({ alg: "HS256", kid: "one" })}.${part(claims)}`;
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const bytes = new TextEncoder().encode(signedWith);
    const key = await crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign"]);
    const mac = await crypto.subtle.sign(algorithm, key, new TextEncoder().encode(signed));
    const authorization = `Bearer ${signed}.${base64url(new Uint8Array(mac))}`;
    return (await handler(new Request(`${BASE}/user`, { headers: { authorization } }))).status;
  };
  assertEquals(await ask(legacy, secret), 200);
  for (const forged of ["another-secret-of-32-characters!!", publicKey, jwk.x!]) {
    assertEquals([await ask(legacy, forged), await ask(handle, forged)], [401, 401]);
  }
  assertEquals(await ask(handle, secret), 401);
});

Deno.test("time and random numbers come from the runtime", async () => {
  const before = Date.now() / 1_000;
  const told = await json(get("/time"));
  assert(told > before - 1 && told < Date.now() / 1_000 + 1, `${told}`);
  const [one, two] = [await json(get("/uuid")), await json(get("/uuid"))];
  assert(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(one) && one !== two);
});

Deno.test("a fetch carries method, headers and body, and brings back each cookie", async () => {
  const server = outside();
  const ask = (query: string) => json(get(`/fetch?url=${encodeURIComponent(server.url)}${query}`));
  assertEquals((await ask("&method=POST&body=hi%20there")).body, "POST yes hi there");
  assertEquals((await ask("/redirect")).body, "GET yes ");
  const seen = await ask("/redirect&follow=false");
  assertEquals([seen.status, seen.location, seen.cookies.length], [302, "/landed", 2]);
  await server.stop();
});

Deno.test("a fetch that is slow, too large or refused fails with its reason", async () => {
  const server = outside();
  const failed = async (url: string, query = "") =>
    (await json(get(`/fetch?url=${encodeURIComponent(url)}${query}`))).failed;
  assertEquals(await failed(`${server.url}/slow`, "&timeout=30"), "no answer in time");
  assertEquals(await failed(`${server.url}/large`), "the answer is larger than allowed");
  assertEquals(await failed(`${server.url}/stream`), "the answer is larger than allowed");
  assert(typeof await failed("http://127.0.0.1:1/") === "string");
  assert(typeof await failed("nothing://at.all/") === "string");
  await server.stop();
});

Deno.test("a fetch that nobody waits for any more is aborted", async () => {
  const server = outside();
  assertEquals(await json(get(`/within?ms=30&url=${encodeURIComponent(`${server.url}/slow`)}`)), true);
  for (let tries = 0; server.aborted() === 0 && tries < 6_000; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertEquals(server.aborted(), 1);
  await server.stop();
});

Deno.test("effects of one request run concurrently", async () => {
  const server = outside();
  const started = performance.now();
  assertEquals(await json(get(`/fan?times=20&url=${encodeURIComponent(`${server.url}/slow?ms=1000`)}`)), 20);
  // One after the other would take 20,000 ms.
  assert(performance.now() - started < 20_000, "they ran one after the other");
  await server.stop();
});

Deno.test("work goes on after the reply", async () => {
  const reply = await get("/background?ms=20");
  assertEquals([reply.status, await reply.json()], [202, "accepted"]);
  await new Promise((resolve) => setTimeout(resolve, 60));
});

Deno.test("files below /tmp are written with their folder, read, listed and removed, in turn", async () => {
  assertEquals(await json(get("/file")), { gone: true, kept: "kept", listed: "kept", whole: true });
});

Deno.test("a socket carries bytes both ways and tells a refused connection", async () => {
  const server = shouting();
  assertEquals(await json(get(`/socket?port=${server.port}`)), "PING\n");
  server.stop();
  const refused = await get("/socket?port=1");
  assertEquals([refused.status, (await refused.json()).code], [503, "UNAVAILABLE"]);
});

Deno.test("a TLS socket trusts the certificate that it is given, and no other", async () => {
  const [own, other] = [await certificate(), await certificate()];
  const server = shouting(own);
  const ask = (ca: string) => get(`/socket?tls=true&port=${server.port}&ca=${encodeURIComponent(ca)}`);
  assertEquals(await json(ask(own.cert)), "PING\n");
  for (const ca of ["", other.cert]) {
    const refused = await ask(ca);
    assertEquals([refused.status, (await refused.json()).code], [503, "UNAVAILABLE"]);
  }
  server.stop();
});

Deno.test("a preflight is answered without the function", async () => {
  const headers = { origin: "https://app.example", "access-control-request-method": "POST" };
  const reply = await handle(new Request(`${BASE}/echo`, { method: "OPTIONS", headers }));
  assertEquals([reply.status, reply.headers.get("access-control-allow-origin")], [204, "*"]);
});

Deno.test("six thousand interleaved requests are never mixed up and leave nothing behind", async () => {
  const round = async () => {
    const replies = Array.from({ length: 6_000 }, async (_, number) => {
      await get(`/sleep?ms=${number % 7}`).then((reply) => reply.body?.cancel());
      return await (await post("/echo", `request ${number}`)).text();
    });
    (await Promise.all(replies)).forEach((text, number) => assertEquals(text, `request ${number}`));
    return instances.at(-1)?.inspect();
  };
  const [first, second] = [await round(), await round()];
  assertEquals([first?.tasks, first?.effects], [0, 0]);
  assertEquals(second, first);
});
