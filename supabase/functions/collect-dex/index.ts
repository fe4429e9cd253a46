import { handler } from "../_shared/wasm.ts";
import * as module from "./wasm/collect_dex.ts";

const SUPABASE = ["SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"];
const SETTINGS = [
  "COLLECT_CONCURRENCY",
  "COLLECT_LEASE_SECONDS",
  "COLLECT_PAUSE_MS",
  "COLLECT_REQUESTS",
  "COLLECT_SECONDS",
];

Deno.serve(handler(module, {
  secrets: [
    ...SUPABASE,
    ...SETTINGS,
    "SERVICE_API_KEY",
    "CREDENTIALS_ENCRYPTION_KEYS",
    "SITE_URL",
    "ALLOWED_HOSTS",
  ],
  maxBody: 10_000,
}));
