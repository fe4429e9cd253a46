import { handler, SERVICE } from "../_shared/wasm.ts";
import * as module from "./wasm/health.ts";

const LIMITS = `LATENCY_MS SIZE_MB CONNECTIONS_PERCENT QUERY_SECONDS JOB_FAILURES JOB_INTERVALS QUEUED_CALLS
  FAILED_CALLS_PERCENT COLLECTOR_SECONDS EXPIRED_TOKENS_PERCENT SIGNAL_SECONDS CACHE_SECONDS CACHE_PENDING_SECONDS
  CACHE_REFUSED`.split(/\s+/);

Deno.serve(handler(module, {
  secrets: [
    ...SERVICE,
    ...LIMITS.flatMap((name) => [`HEALTH_${name}_DEGRADED`, `HEALTH_${name}_UNHEALTHY`]),
    "HEALTH_TOKEN_SECONDS",
  ],
  maxBody: 1_000,
}));
