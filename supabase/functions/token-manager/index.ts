import { handler, SERVICE } from "../_shared/wasm.ts";
import * as module from "./wasm/token_manager.ts";

const REDIS = ["URL", "CA", "TIMEOUT_SECONDS"].map((name) => `REDIS_${name}`);
const UPSTASH = ["URL", "TOKEN"].map((name) => `UPSTASH_REDIS_REST_${name}`);
const RENEW = ["WITHIN_SECONDS", "PER_MINUTE", "TO_REDIS"].map((name) => `TOKEN_RENEW_${name}`);
const TOKENS = ["TOKEN_ENCRYPTION_KEYS", "TOKEN_REDIS_PATTERNS", "TRADOVATE_URL"];

Deno.serve(handler(module, {
  secrets: [...SERVICE, ...REDIS, ...UPSTASH, ...RENEW, ...TOKENS],
  headers: ["x-actor", "user-agent"],
  maxBody: 4_000_000,
}));
