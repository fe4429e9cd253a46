// The sync of token-manager in TypeScript, with npm:redis and supabase-js, to be measured beside it.
// `?mode=pipelined` asks Redis for a page of keys at once; `?mode=sequential` awaits each call, as the
// implementations before this one do. Same tables, same rows; not one transaction, which it cannot have.
// `?action=get&account=…` and `?action=status` answer as token-manager does, from what that one stored.

import { createClient as createRedis } from "redis";
import { createClient } from "@supabase/supabase-js";
import { fingerprint, open } from "./seal.ts";

interface Row {
  account_name: string;
  main_account: string;
  token_type: string;
  access_token: string;
  fingerprint: string;
  token_length: number;
  expires_at: string | null;
  is_active: boolean;
  source: string;
  metadata: Record<string, unknown>;
}

interface Known {
  account_name: string;
  fingerprint: string;
  is_active: boolean;
}

const BATCH = 1_000;
const env = (name: string) => Deno.env.get(name) ?? "";
const secret = JSON.parse(env("SUPABASE_SECRET_KEYS")).default;
// The local REST server does not understand the quotes in `columns="a","b"`; nothing here needs it.
const plain: typeof fetch = (url, init) => fetch(String(url).replace(/([?&])columns=[^&]*&?/, "$1"), init);
const supabase = createClient(env("SUPABASE_URL"), secret, {
  auth: { persistSession: false },
  global: { fetch: plain },
});
const raw = Uint8Array.from(atob(env("TOKEN_ENCRYPTION_KEYS").split(":")[1]), (c) => c.charCodeAt(0));
const cipher = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
const hmac = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
const encoder = new TextEncoder();

const SERVICE = env("SERVICE_API_KEY");

Deno.serve(async (request) => {
  if (request.headers.get("x-service-key") !== SERVICE) return new Response(null, { status: 401 });
  const { searchParams } = new URL(request.url);
  const action = searchParams.get("action");
  if (action === "get") return await get(request, searchParams.get("account") ?? "");
  const mode = searchParams.get("mode") ?? "pipelined";
  const redis = await connect();
  try {
    if (action === "status") return await status(redis);
    return Response.json({ tokens_synced: await sync(redis, mode === "sequential") });
  } finally {
    await redis.close();
  }
});

async function get(request: Request, account: string): Promise<Response> {
  const { data, error } = await supabase.rpc("token_get", {
    p_account: account,
    p_actor: request.headers.get("user-agent") ?? "unknown",
    p_request_id: request.headers.get("x-request-id") ?? crypto.randomUUID(),
  });
  if (error !== null) return Response.json({ success: false, error: error.message }, { status: 503 });
  if (data === null || !data.is_active) return Response.json({ error: "Token not found" }, { status: 404 });
  if (data.is_expired) return Response.json({ error: "Token expired" }, { status: 410 });
  const { access_token, is_active: _, is_expired: __, ...rest } = data;
  const token = open(`tradovate_tokens/${data.account_name}`, access_token);
  return Response.json({ success: true, token, ...rest }, { headers: { "cache-control": "no-store" } });
}

async function status(redis: Awaited<ReturnType<typeof connect>>): Promise<Response> {
  const { data, error } = await supabase.rpc("token_status");
  if (error !== null) return Response.json({ success: false, error: error.message }, { status: 503 });
  const { recent_tokens, ...status } = data;
  let [seen, known] = [0, 0];
  for await (const keys of redis.scanIterator({ MATCH: "token:*", COUNT: BATCH })) {
    const values = await Promise.all(keys.map((key) => redis.get(key)));
    const held = keys.flatMap((key, at) => values[at] === null ? [] : [{ key, token: values[at] }]);
    const p_fingerprints = await Promise.all(held.map(({ token }) => fingerprint(token)));
    seen += held.length;
    const p_keys = held.map(({ key }) => key);
    const compared = await supabase.rpc("token_sync_compare", { p_keys, p_fingerprints });
    check(compared);
    known += compared.data;
  }
  const sync_needed = seen !== known || seen !== status.key_mappings;
  return Response.json({
    success: true,
    status: { ...status, redis_tokens: seen, sync_needed },
    recent_tokens,
  });
}

function connect() {
  return createRedis({ url: env("REDIS_URL") }).connect();
}

async function sync(redis: Awaited<ReturnType<typeof connect>>, sequential: boolean): Promise<number> {
  const rows = new Map<string, Row>();
  const mappings: Record<string, string>[] = [];
  for await (const keys of redis.scanIterator({ MATCH: "token:*", COUNT: BATCH })) {
    const read = async (key: string) => {
      const [value, ttl] = sequential
        ? [await redis.get(key), await redis.ttl(key)]
        : await Promise.all([redis.get(key), redis.ttl(key)]);
      if (value === null) return;
      const row = await seal(key, value, ttl);
      rows.set(row.account_name, row);
      mappings.push({
        main_account: row.main_account,
        redis_key: key,
        key_type: row.main_account === row.account_name ? "main" : "sub_account",
        account_name: row.account_name,
        fingerprint: row.fingerprint,
      });
    };
    if (sequential) { for (const key of keys) await read(key); }
    else await Promise.all(keys.map(read));
  }
  const known = await readKnown();
  const all = [...rows.values()];
  for (const batch of batches(all)) {
    check(await supabase.from("tradovate_tokens").upsert(batch, { onConflict: "account_name" }));
  }
  for (const batch of batches(mappings)) {
    check(await supabase.from("token_key_mappings").upsert(batch, { onConflict: "redis_key" }));
  }
  const gone = [...known.values()].filter((one) => one.is_active && !rows.has(one.account_name));
  for (const batch of batches(gone.map((one) => one.account_name))) {
    check(await supabase.from("tradovate_tokens").update({ is_active: false }).in("account_name", batch));
  }
  const events = all.filter((row) => known.get(row.account_name)?.fingerprint !== row.fingerprint)
    .map((row) => ({
      event: known.has(row.account_name) ? "updated" : "created",
      account_name: row.account_name,
    }));
  for (const batch of batches(events)) check(await supabase.from("token_events").insert(batch));
  return all.length;
}

async function seal(key: string, token: string, ttl: number): Promise<Row> {
  const account = key.slice(key.indexOf(":") + 1);
  const number = /^(?:PAAPEX|APEX)(\d{6})\d+$/.exec(account);
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  const bytes = encoder.encode(token);
  const additionalData = encoder.encode(account);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData }, cipher, bytes);
  const mark = await crypto.subtle.sign("HMAC", hmac, bytes);
  const ends = [expiry(token), ttl >= 0 ? Date.now() + ttl * 1_000 : Infinity];
  const end = Math.min(...ends);
  return {
    account_name: account,
    main_account: number === null ? account : `APEX_${number[1]}`,
    token_type: "bearer",
    access_token: `v1.k1.${base64(new Uint8Array([...nonce, ...new Uint8Array(sealed)]))}`,
    fingerprint: base64(new Uint8Array(mark)),
    token_length: token.length,
    expires_at: end === Infinity ? null : new Date(end).toISOString(),
    is_active: true,
    source: "redis",
    metadata: { redis_key: key, ttl_seconds: ttl, synced_at: new Date().toISOString() },
  };
}

function expiry(token: string): number {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims.exp === "number" ? claims.exp * 1_000 : Infinity;
  } catch {
    return Infinity;
  }
}

async function readKnown(): Promise<Map<string, Known>> {
  const known = new Map<string, Known>();
  for (;;) {
    const { data, error } = await supabase.from("tradovate_tokens").select(
      "account_name,fingerprint,is_active",
    )
      .order("account_name").range(known.size, known.size + BATCH - 1);
    if (error !== null) throw error;
    for (const one of data as Known[]) known.set(one.account_name, one);
    if (data.length < BATCH) return known;
  }
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function* batches<T>(all: T[]): Generator<T[]> {
  for (let at = 0; at < all.length; at += BATCH) yield all.slice(at, at + BATCH);
}

function check({ error }: { error: unknown }): void {
  if (error !== null) throw error;
}
