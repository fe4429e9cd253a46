import type { Exports, Packed } from "../../../supabase/functions/_shared/module.ts";
import { handler } from "../../../supabase/functions/_shared/wasm.ts";
import * as module from "./wasm/boundary.ts";

/** The instances made so far, so that tests can look into them. */
export const instances: (Exports & { inspect(): Record<string, number> })[] = [];
const instantiate: Packed["instantiate"] = (compiled) =>
  instances[instances.push(module.instantiate(compiled)) - 1];

export const handle = handler({ ...module, instantiate }, {
  secrets: "SUPABASE_URL SUPABASE_SECRET_KEYS SUPABASE_JWKS JWT_SECRET SERVICE_API_KEY TEST_KEY".split(" "),
  headers: ["x-shown"],
  maxBody: 1_000_000,
});
if (import.meta.main) Deno.serve(handle);
