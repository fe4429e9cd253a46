// Opens what crates/ironferry/src/seal.rs sealed: XChaCha20-Poly1305, which WebCrypto does not have.

import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";

const NONCE_BYTES = 24;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const keys = new Map(
  Deno.env.get("CREDENTIALS_ENCRYPTION_KEYS")!.split(",").map((entry) => {
    const [id, key] = entry.trim().split(":");
    return [id, bytes(key)];
  }),
);

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

export function open(place: string, sealed: string): string {
  const [, id, body] = sealed.split(".");
  const [key, all] = [keys.get(id), bytes(body)];
  if (key === undefined) throw new Error("its key is not in the ring");
  const cipher = xchacha20poly1305(key, all.subarray(0, NONCE_BYTES), encoder.encode(place));
  return decoder.decode(cipher.decrypt(all.subarray(NONCE_BYTES)));
}
