// The same echo on Hono.

import { Hono } from "hono";
import { cors } from "hono/cors";
import { requestId } from "hono/request-id";

const app = new Hono();
app.use(requestId(), cors());
app.post("/boundary/echo", async (context) => {
  const kind = context.req.header("content-type") ?? "application/octet-stream";
  return context.body(await context.req.arrayBuffer(), 200, { "content-type": kind });
});

Deno.serve(app.fetch);
