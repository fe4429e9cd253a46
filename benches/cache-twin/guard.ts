// What the function does besides reading: it admits callers within their rate, and notes each operation.

import type { SupabaseClient } from "@supabase/supabase-js";

const LIMIT = Number(Deno.env.get("CACHE_RATE_LIMIT") ?? 100);
const GATHER_MS = 100;
const BATCH = 500;

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void };

interface Known {
  granted: number;
  remaining: number;
  resetsAt: number;
}

const callers = new Map<string, Known>();
const asking = new Map<string, Promise<Known | undefined>>();
let journal: unknown[] = [];
let isWriting = false;

export const SECURITY = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "strict-transport-security": "max-age=31536000; includeSubDomains",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cache-control": "private, no-cache",
};

export function address(request: Request): string {
  return request.headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() ?? "0.0.0.0";
}

/** Asks the database for some of what a caller has left; undefined when that is nothing. */
async function grant(db: SupabaseClient, ip: string, project: string): Promise<Known | undefined> {
  const { data, error } = await db.rpc("cache_admit", {
    p_ip: ip,
    p_limit: LIMIT,
    p_project: project,
    p_key_hash: "",
  });
  if (error !== null) throw error;
  if (data.verdict !== "admitted") return undefined;
  return { granted: data.granted, remaining: data.remaining, resetsAt: performance.now() + data.reset_ms };
}

/** The headers of the rate limit, or undefined for who has had enough. */
export async function admit(
  db: SupabaseClient,
  ip: string,
  project: string,
): Promise<Record<string, string> | undefined> {
  const name = `${ip}/${project}`;
  let known = callers.get(name);
  while (known === undefined || known.granted === 0 || performance.now() >= known.resetsAt) {
    // One asks for all that come meanwhile, or together they would be granted more than there is.
    let asked = asking.get(name);
    if (asked === undefined) {
      asked = grant(db, ip, project).finally(() => asking.delete(name));
      asking.set(name, asked);
    }
    known = await asked;
    if (known === undefined) return undefined;
    callers.set(name, known);
  }
  known.granted -= 1;
  return {
    "ratelimit-limit": `${LIMIT}`,
    "ratelimit-remaining": `${known.granted + known.remaining}`,
    "ratelimit-reset": `${Math.ceil((known.resetsAt - performance.now()) / 1_000)}`,
  };
}

/** Notes an operation, to be written behind the reply with the others of the moment. */
export function note(db: SupabaseClient, entry: Record<string, unknown>): void {
  journal.push({ ...entry, operation: "READ", role: "service", at: new Date().toISOString() });
  if (isWriting) return;
  isWriting = true;
  EdgeRuntime.waitUntil(write(db));
}

async function write(db: SupabaseClient): Promise<void> {
  while (journal.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    const entries = journal;
    journal = [];
    for (let at = 0; at < entries.length; at += BATCH) {
      const { error } = await db.rpc("cache_record", { p_entries: entries.slice(at, at + BATCH) });
      if (error !== null) console.error(error.message);
    }
  }
  isWriting = false;
}
