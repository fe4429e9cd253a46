// examples/with-postgrest: a query that the `postgrest` crate writes and the shim sends.

import { assertEquals } from "./server.ts";

Deno.test("a query of the postgrest crate reaches the REST server with the caller's token", async () => {
  const asked: string[] = [];
  const rest = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    asked.push(
      pathname + search,
      request.headers.get("authorization") ?? "",
      request.headers.get("apikey") ?? "",
    );
    return Response.json([{ id: 1, case_serial: "A1" }]);
  });
  Deno.env.set("SUPABASE_URL", `http://127.0.0.1:${rest.addr.port}`);
  Deno.env.set("SUPABASE_PUBLISHABLE_KEYS", JSON.stringify({ default: "sb_publishable_test" }));
  const { handle } = await import("../../examples/with-postgrest/index.ts");
  const request = new Request("http://localhost/with-postgrest", {
    headers: { authorization: "Bearer a.b.c" },
  });
  const reply = await handle(request);
  assertEquals([reply.status, await reply.json()], [200, [{ id: 1, case_serial: "A1" }]]);
  assertEquals(asked, [
    "/rest/v1/machines?select=id%2Ccase_serial&status=eq.active&order=case_serial",
    "Bearer a.b.c",
    "sb_publishable_test",
  ]);
  await rest.shutdown();
});
