// What crates/ironferry/src/seal.rs makes and opens, for what token-manager stored.

import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";

const NONCE_BYTES = 24;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const ring = Deno.env.get("TOKEN_ENCRYPTION_KEYS")!.split(",").map((entry) => {
  const [id, key] = entry.trim().split(":");
  return { id, key: bytes(key) };
});
const prints = await printing();

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

async function hmac(key: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
}

async function printing(): Promise<CryptoKey> {
  const key = await hmac(ring[0].key);
  return await hmac(
    new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode("ironferry fingerprint"))),
  );
}

export async function fingerprint(text: string): Promise<string> {
  const mark = new Uint8Array(await crypto.subtle.sign("HMAC", prints, encoder.encode(text)));
  return btoa(String.fromCharCode(...mark)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function open(place: string, sealed: string): string {
  const [, id, body] = sealed.split(".");
  const [found, all] = [ring.find((one) => one.id === id), bytes(body)];
  if (found === undefined) throw new Error("its key is not in the ring");
  const cipher = xchacha20poly1305(found.key, all.subarray(0, NONCE_BYTES), encoder.encode(place));
  return decoder.decode(cipher.decrypt(all.subarray(NONCE_BYTES)));
}
