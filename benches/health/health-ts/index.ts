// `GET /health` and `GET /health/full` in TypeScript with supabase-js, to be measured beside `health`: the
// same report of the database, the same limits, the same JSON. It leaves out what Prometheus reads, the
// settings that replace limits, and keys compared in constant time.

import { createClient } from "@supabase/supabase-js";
import { judge, LIMITS, type Report, worst } from "./judge.ts";

const TOKEN_SECONDS = 300;
const SERVICE = Deno.env.get("SERVICE_API_KEY");
const secret = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!).default;
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, secret, { auth: { persistSession: false } });

Deno.serve(async (request) => {
  const path = new URL(request.url).pathname.split("/").slice(2).join("/");
  if (request.method !== "GET" && request.method !== "HEAD") return reply(405, { success: false });
  if (path === "") return reply(200, { status: "alive" });
  if (path !== "full") return reply(404, { success: false });
  if (request.headers.get("x-service-key") !== SERVICE) return reply(401, { success: false });
  const health = await examine();
  return reply(health.status === "unhealthy" ? 503 : 200, health);
});

function reply(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store", vary: "accept" } });
}

async function examine() {
  const begun = performance.now();
  const { data, error } = await supabase.rpc("health_report", { p_expiring_seconds: TOKEN_SECONDS })
    .abortSignal(AbortSignal.timeout(LIMITS.LATENCY_MS[1]));
  const roundTrip = Math.floor(performance.now() - begun);
  if (error !== null || typeof data.took_ms !== "number") {
    const problems = [`${error?.message ?? "no report"}, after ${roundTrip} ms`];
    const checks = { database: { status: "unhealthy", problems } };
    return { status: "unhealthy", latency_ms: null, checks, module: "0.1.0", measured: null };
  }
  const latency_ms = Math.max(roundTrip - data.took_ms, 0);
  const checks = judge(data as Report, latency_ms);
  for (const [check, { status, problems }] of Object.entries(checks)) {
    if (status !== "healthy") {
      console.warn(JSON.stringify({ event: "health.check", check, status, problems }));
    }
  }
  return { status: worst(checks), latency_ms, checks, module: "0.1.0", measured: data };
}
