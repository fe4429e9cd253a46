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

/** As long and as many requests as a run of `collect-dex`, so that both make as many calls. */
export class Budget {
  #ends = Date.now() + 120_000;
  #requests = Number(Deno.env.get("COLLECT_REQUESTS") ?? 4_000);

  isOpen(): boolean {
    return this.#requests > 0 && Date.now() < this.#ends;
  }

  spend(): void {
    this.#requests -= 1;
  }
}
