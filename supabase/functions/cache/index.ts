import { handler, SERVICE } from "../_shared/wasm.ts";
import * as module from "./wasm/cache.ts";

const FLAGS = ["SUPABASE_ENABLED", "EMERGENCY_REFRESH", "BACKGROUND_RETRY", "GRACEFUL_SHUTDOWN"];
const SOURCES = ["STRAVA_CLIENT_ID", "STRAVA_CACHE_HOURS", "FUNDRAISING_CACHE_MINUTES", "ALLOWED_HOSTS"];
const OPTIONAL = ["STRAVA_CLIENT_SECRET", "JUSTGIVING_API_KEY", "CLIENT_IP_HEADER"];
// Settings, and `CACHE_SECRET_…`, which is all that the headers of a source may name.
const OWN = Object.keys(Deno.env.toObject()).filter((name) => name.startsWith("CACHE_"));
const FORWARDED = ["cf-connecting-ip", "x-forwarded-host", "x-forwarded-proto"];

Deno.serve(handler(module, {
  secrets: [...SERVICE, ...FLAGS, ...SOURCES, ...OPTIONAL, ...OWN, "CREDENTIALS_ENCRYPTION_KEYS"],
  headers: ["if-none-match", "user-agent", "x-cache-key", ...FORWARDED],
  maxBody: 10_485_760,
}));
