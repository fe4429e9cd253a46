import { handler, SERVICE } from "../_shared/wasm.ts";
import * as module from "./wasm/collect_dex.ts";

const LIMITS = ["CONCURRENCY", "CPU_MS", "LEASE_SECONDS", "PAUSE_MS", "REQUESTS", "SECONDS"].map((name) =>
  `COLLECT_${name}`
);

Deno.serve(handler(module, {
  secrets: [...SERVICE, ...LIMITS, "CREDENTIALS_ENCRYPTION_KEYS", "SITE_URL", "ALLOWED_HOSTS"],
  maxBody: 10_000,
}));
