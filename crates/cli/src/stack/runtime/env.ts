// The environment: what the function was given, without what Deno and the stack need for themselves.

import { deno, host } from "./host.ts";

const hidden = new Set(host.hidden);
const values = new Map(Object.entries(deno.env.toObject()).filter(([name]) => !hidden.has(name)));

function get(name: string): string | undefined {
  if (name === "") throw new TypeError("Key is an empty string.");
  if (/[=\0]/.test(name)) {
    throw new TypeError(`Key contains invalid characters: ${JSON.stringify(name)}`);
  }
  return values.get(name);
}

export const env: Deno.Env = {
  get,
  has: (name) => get(name) !== undefined,
  toObject: () => Object.fromEntries(values),
  set() {
    throw new deno.errors.NotSupported("The operation is not supported");
  },
  delete() {},
};
