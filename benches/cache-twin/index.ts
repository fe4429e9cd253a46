// The cache's reads in TypeScript with supabase-js, for `scripts/bench cache`: the same layers, checksum,
// version, headers, rate limit and audit as the function `cache`, as somebody would write them by hand.

import { createClient } from "@supabase/supabase-js";
import { address, admit, note, SECURITY } from "./guard.ts";

interface Entry {
  body: string;
  etag: string;
  until: number;
}

const env = (name: string) => Deno.env.get(name) ?? "";
const FOLDER = `${env("CACHE_DIR")}-twin`;
const MEMORY_MS = Number(env("CACHE_TTL_SECONDS")) * 1_000;
const FILE_MS = Number(env("CACHE_FILE_TTL_SECONDS")) * 1_000;
const SECRET = JSON.parse(env("SUPABASE_SECRET_KEYS")).default;
const SERVICE = env("SERVICE_API_KEY");
const supabase = createClient(env("SUPABASE_URL"), SECRET, { auth: { persistSession: false } });
const memory = new Map<string, Entry>();

async function hash(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function fromFile(key: string): Promise<Entry | undefined> {
  try {
    const content = await Deno.readTextFile(`${FOLDER}/${key}.json`);
    const line = content.indexOf("\n");
    const head = JSON.parse(content.slice(0, line));
    const body = content.slice(line + 1);
    if (await hash(body) !== head.sha256 || Date.now() - head.checked >= FILE_MS) return undefined;
    return { body, etag: head.etag, until: performance.now() + MEMORY_MS };
  } catch {
    return undefined;
  }
}

async function fromDatabase(project: string, type: string, key: string): Promise<Entry | undefined> {
  const { data: row, error } = await supabase.rpc("cache_load", { p_project: project, p_type: type });
  if (error !== null) throw error;
  if (row.standing !== "sound") return undefined;
  const body = JSON.stringify(row.data);
  const head = JSON.stringify({ sha256: await hash(body), etag: row.etag, checked: Date.now() });
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile(`${FOLDER}/${key}.json`, `${head}\n${body}`);
  return { body, etag: row.etag, until: performance.now() + MEMORY_MS };
}

Deno.serve(async (request) => {
  const started = performance.now();
  if (request.headers.get("x-service-key") !== SERVICE) return new Response(null, { status: 401 });
  const [project, type] = new URL(request.url).pathname.split("/").slice(-2);
  const key = `${project}.${type}`;
  const ip = address(request);
  const rate = await admit(supabase, ip, project);
  if (rate === undefined) return new Response(null, { status: 429 });
  let layer = "memory";
  let entry = memory.get(key);
  if (entry === undefined || entry.until <= performance.now()) {
    layer = "file";
    entry = await fromFile(key);
    if (entry === undefined) {
      layer = "database";
      entry = await fromDatabase(project, type, key);
    }
    if (entry === undefined) return new Response(null, { status: 404 });
    memory.set(key, entry);
  }
  const ms = performance.now() - started;
  const request_id = request.headers.get("x-request-id") ?? crypto.randomUUID();
  const user_agent = request.headers.get("user-agent") ?? "";
  note(supabase, {
    project,
    type,
    layer,
    status: 200,
    size: entry.body.length,
    ms,
    ip,
    user_agent,
    request_id,
  });
  return new Response(entry.body, {
    headers: {
      ...SECURITY,
      ...rate,
      "access-control-allow-origin": "*",
      "x-request-id": request_id,
      "content-type": "application/json",
      "x-cache": layer,
      etag: `W/"${entry.etag}"`,
      "server-timing": `cache;desc=${layer};dur=${ms}`,
    },
  });
});
