import { handler } from "../../supabase/functions/_shared/wasm.ts";
import * as module from "./wasm/with_postgrest.ts";

export const handle = handler(module, {
  secrets: ["SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEYS"],
});
if (import.meta.main) Deno.serve(handle);
