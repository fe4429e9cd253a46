// The accept path of receive-webhook as one would write it with supabase-js: same table, same RPCs, one
// client for all requests. For `scripts/bench webhooks`.
import { createClient } from "@supabase/supabase-js";

const keys = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!);
const db = createClient(Deno.env.get("SUPABASE_URL")!, keys.default, { auth: { persistSession: false } });

async function hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function refuse(status: number, code: string): Response {
  return Response.json({ success: false, code }, { status });
}

Deno.serve(async (request) => {
  if (request.method !== "POST") return refuse(405, "METHOD_NOT_ALLOWED");
  const id = new URL(request.url).pathname.split("/").pop()!;
  let alert;
  try {
    alert = JSON.parse(await request.text());
  } catch {
    return refuse(400, "INVALID_JSON");
  }
  const found = await db.from("webhook_configs").select("id,security_token,is_active").eq("id", id)
    .maybeSingle();
  if (found.error) return refuse(503, "DATABASE_UNAVAILABLE");
  if (!found.data) return refuse(404, "CONFIG_NOT_FOUND");
  const { passphrase, ...payload } = alert;
  if (`sha256:${await hex(passphrase)}` !== found.data.security_token) return refuse(401, "UNAUTHORIZED");
  if (!found.data.is_active) return refuse(410, "CONFIG_INACTIVE");
  const signal = {
    symbol: { name: payload.ticker, class: "us_equity" },
    action: payload.action,
    quantity: String(payload.qty),
    price: String(payload.price),
  };
  const recorded = await db.rpc("receive_webhook_record", {
    p_config_id: id,
    p_payload: payload,
    p_signal: signal,
    p_content_hash: await hex(JSON.stringify(payload)),
    p_dedupe_key: `id:${payload.alert_id}`,
    p_price: signal.price,
  });
  if (recorded.error) return refuse(503, "DATABASE_UNAVAILABLE");
  return Response.json({ success: true, outcome: recorded.data.outcome, signal_id: recorded.data.signal_id });
});
