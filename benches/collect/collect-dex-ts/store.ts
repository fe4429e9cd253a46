// The database, and when a run stops taking on work.

import { createClient } from "@supabase/supabase-js";

const secret = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!).default;
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, secret, { auth: { persistSession: false } });

/** Calls a function of the database. */
export async function call<T>(name: string, args: Record<string, unknown>): Promise<T> {
  const { data, error } = await supabase.rpc(name, args);
  if (error !== null) throw error;
  return data as T;
}

/** The last ten runs, without their results. */
export async function lastRuns(): Promise<unknown> {
  const columns = "id,triggered_by,status,started_at,finished_at,companies_processed," +
    "successful_collections,total_records,error";
  const { data, error } = await supabase.from("collection_runs").select(columns)
    .eq("function", "collect-dex").order("started_at", { ascending: false }).range(0, 9);
  if (error !== null) throw error;
  return data;
}

/** As long and as many requests as a run of `collect-dex`, so that both make as many calls. */
export class Budget {
  #started = Date.now();
  #requests = 0;

  mayBegin(): boolean {
    return this.#requests < 4_000 && Date.now() < this.#started + 120_000;
  }

  mayGoOn(): boolean {
    return this.#requests < 4_500 && Date.now() < this.#started + 135_000;
  }

  spend(): void {
    this.#requests += 1;
  }
}
