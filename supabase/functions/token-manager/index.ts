import { handler, SERVICE } from "../_shared/wasm.ts";
import * as module from "./wasm/token_manager.ts";

const REDIS = ["URL", "CA", "TIMEOUT_SECONDS"].map((name) => `REDIS_${name}`);
const UPSTASH = ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"];
const TOKENS = ["ENCRYPTION_KEYS", "REDIS_PATTERNS", "RENEW_WITHIN_SECONDS", "RENEW_PER_MINUTE", "RENEW_TO_REDIS"]
  .map((name) => `TOKEN_${name}`);

Deno.serve(handler(module, {
  secrets: [...SERVICE, ...REDIS, ...UPSTASH, ...TOKENS, "TRADOVATE_URL"],
  headers: ["x-actor", "user-agent"],
  maxBody: 4_000_000,
}));
