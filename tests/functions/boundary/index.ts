import { handler } from "../../../supabase/functions/_shared/wasm.ts";
import * as module from "./wasm/boundary.ts";

export const handle = handler(module, {
  secrets: ["SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_JWKS", "SERVICE_API_KEY", "TEST_KEY"],
  headers: ["x-shown"],
  maxBody: 1_000_000,
});
if (import.meta.main) Deno.serve(handle);
