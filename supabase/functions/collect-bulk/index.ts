import { handler } from "../_shared/wasm.ts";
import * as module from "./wasm/collect_bulk.ts";

const SUPABASE = ["SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"];
const USERS = ["SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY", "SUPABASE_JWKS"];
const SETTINGS = ["COLLECT_LEASE_SECONDS", "COLLECT_PAUSE_MS", "COLLECT_REQUESTS", "COLLECT_SECONDS"];

Deno.serve(handler(module, {
  secrets: [
    ...SUPABASE,
    ...USERS,
    ...SETTINGS,
    "SERVICE_API_KEY",
    "CREDENTIALS_ENCRYPTION_KEYS",
    "ALLOWED_HOSTS",
  ],
  headers: ["x-company-id", "x-run-id"],
  maxBody: 10_000,
}));
