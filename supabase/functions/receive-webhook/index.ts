import { handler, SERVICE, USERS } from "../_shared/wasm.ts";
import * as module from "./wasm/receive_webhook.ts";

const OPTIONAL = ["ALPACA_API_KEY", "ALPACA_API_SECRET"];
const BROKER = ["ALPACA_API_URL", "CREDENTIALS_ENCRYPTION_KEYS"];
const ORDERS = ["DEFAULT_ORDER_QUANTITY", "POSITION_SIZING_METHOD", "POSITION_SIZE_VALUE"];
const SIMULATION = ["SIMULATION_MODE", "SIMULATION_EQUITY", "SIMULATION_PRICE"];
const LIMITS = ["WEBHOOK_PASSPHRASE", "WEBHOOK_LEASE_SECONDS", "CLIENT_IP_HEADER", "ALLOWED_HOSTS"];
const SIGNED = ["x-webhook-signature", "x-webhook-timestamp", "idempotency-key"];

Deno.serve(handler(module, {
  secrets: [...SERVICE, ...USERS, ...OPTIONAL, ...BROKER, ...ORDERS, ...SIMULATION, ...LIMITS],
  headers: ["cf-connecting-ip", ...SIGNED],
  maxBody: 16_384,
}));
