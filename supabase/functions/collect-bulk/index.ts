import { handler, SERVICE, USERS } from "../_shared/wasm.ts";
import * as module from "./wasm/collect_bulk.ts";

const LIMITS = ["CPU_MS", "LEASE_SECONDS", "PAUSE_MS", "REQUESTS", "SECONDS"]
  .map((name) => `COLLECT_${name}`);

Deno.serve(handler(module, {
  secrets: [...SERVICE, ...USERS, ...LIMITS, "CREDENTIALS_ENCRYPTION_KEYS", "ALLOWED_HOSTS"],
  headers: ["x-company-id", "x-run-id"],
  maxBody: 10_000,
}));
