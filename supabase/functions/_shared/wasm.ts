// Runs a module: takes requests in, performs the effects it asks for, and replaces an instance
// that trapped, so that a panic costs one request.

import { Effects } from "./effects.ts";
import { BODYLESS_METHODS, crashed, EMPTY, readBody, readHead, requestId, tooLarge, write } from "./serve.ts";

/** What `scripts/build` packs. */
export interface Packed {
  name: string;
  /** The module, base64. */
  wasm: string;
  /** Makes an instance with state of its own. */
  instantiate(compiled: WebAssembly.Module): Exports;
}

/** The module's exports, see `crates/ironferry/src/wasm.rs`. */
export interface Exports {
  start(secrets: Record<string, string>, shim: Shim): void;
  begin(request: number, head: string, body: Uint8Array): void;
  resume(effect: number, status: number, head: string, body: Uint8Array): void;
  turn(): void;
  shutdown(request: number): void;
  trapped_task(): number | undefined;
  trapped_request(): number | undefined;
  trapped_reply(): boolean;
}

export interface Options {
  /** The environment variables that the module may see. No other reaches it. */
  secrets: string[];
  /** Request headers that the module reads besides the SDK's own. */
  headers?: string[];
  /** The largest request body in bytes; 10 MB unless told. */
  maxBody?: number;
}

/** What a function needs to serve services and to reach the database as the service role. */
export const SERVICE = [
  "SUPABASE_URL",
  "SUPABASE_SECRET_KEYS",
  "SUPABASE_SERVICE_ROLE_KEY",
  "SERVICE_API_KEY",
];

/** What it needs to serve users and to reach the database as one of them. */
export const USERS = ["SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY", "SUPABASE_JWKS"];

/** Settings of the SDK itself, which hold nothing secret. */
const SETTINGS = ["LOG_LEVEL", "CORS_ORIGINS"];

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void } | undefined;

/** A request on its way through an instance. */
interface Waiting {
  id: string;
  respond(response: Response): void;
  /** Ends the background work, once the reply is out and work is left. */
  finish?: () => void;
  answered: boolean;
}

/** Makes the handler for `Deno.serve`. */
export function handler(packed: Packed, options: Options): (request: Request) => Promise<Response> {
  const compiled = new WebAssembly.Module(decode(packed.wasm));
  const secrets = pick([...options.secrets, ...SETTINGS]);
  let instance: Shim | undefined;
  let requests = 0;

  // The hosted runtime tells so when a worker is about to end, and waits for what it is handed then.
  globalThis.addEventListener("beforeunload", () => {
    if (instance === undefined || instance.broken) return;
    requests = (requests + 1) >>> 0;
    instance.shutdown(requests);
  });

  return async (request) => {
    const id = requestId(request);
    const body = BODYLESS_METHODS.has(request.method) ? EMPTY : await readBody(request, options.maxBody);
    if (body === undefined) return tooLarge(id);
    const head = readHead(request, id, options.headers ?? []);
    if (instance === undefined || instance.broken) instance = new Shim(packed.instantiate(compiled), secrets);
    // Wraps around at 2^32 as the module's number does.
    requests = (requests + 1) >>> 0;
    return instance.serve(requests, id, head, body);
  };
}

/** One instance and all that is under way in it. */
export class Shim extends Effects {
  broken = false;
  #exports: Exports;
  #waiting = new Map<number, Waiting>();
  #answered: number[] = [];
  #panic = "";

  constructor(exports: Exports, secrets: Record<string, string>) {
    super((effect, status, head, body) => this.#enter(() => exports.resume(effect, status, head, body)));
    this.#exports = exports;
    exports.start(secrets, this);
  }

  /** The reply itself where the module asks nothing of the outside, else the promise of it. */
  serve(request: number, id: string, head: string, body: Uint8Array): Response | Promise<Response> {
    let reply: Response | undefined;
    const waiting: Waiting = { id, respond: (made) => reply = made, answered: false };
    this.#waiting.set(request, waiting);
    this.#enter(() => this.#exports.begin(request, head, body), request);
    return reply ?? new Promise((respond) => waiting.respond = respond);
  }

  /** Lets the module finish what it must before the worker ends. */
  shutdown(request: number): void {
    this.#waiting.set(request, { id: "shutdown", respond: () => {}, answered: true });
    this.#enter(() => this.#exports.shutdown(request), request);
    this.#keepAlive(request);
  }

  /** Called by the module when a request's reply is ready. */
  respond(request: number, status: number, head: string, body: Uint8Array): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined || waiting.answered) return;
    waiting.answered = true;
    waiting.respond(write(status, head, body));
    this.#answered.push(request);
  }

  /** Called by the module when nothing of a request is left, not even in the background. */
  done(request: number): void {
    this.#waiting.get(request)?.finish?.();
    this.#waiting.delete(request);
  }

  /** Called by the module's panic hook, before the trap. */
  panicked(message: string): void {
    this.#panic = message;
  }

  /** Calls into the module. Whatever it throws is a trap: nothing else comes out of it. */
  #enter(call: () => void, request?: number): void {
    try {
      call();
    } catch (trap) {
      this.#recover(trap, request);
    }
    if (this.#answered.length > 0) this.#answered.splice(0).forEach((request) => this.#keepAlive(request));
  }

  /** Keeps the worker for the work that a request left in the background. */
  #keepAlive(request: number): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) return;
    const work = new Promise<void>((finish) => waiting.finish = finish);
    if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(work);
  }

  /**
   * Gives up the task that trapped and lets the others go on: an instance that panicked still holds
   * their futures. One whose stack or memory is spent traps again, and they fail in turn.
   */
  #recover(trap: unknown, begun?: number): void {
    this.broken = true;
    let [error, before]: [unknown, number | undefined] = [trap, undefined];
    for (;;) {
      const task = this.#ask(() => this.#exports.trapped_task());
      const victim = this.#ask(() => this.#exports.trapped_request()) ?? begun;
      begun = undefined;
      // Nothing is known of it, or nothing changes any more.
      if (victim === undefined || (task !== undefined && task === before)) {
        for (const left of [...this.#waiting.keys()]) {
          this.#fail(left, error);
          this.done(left);
        }
        this.cancelAll();
        return;
      }
      if (task === undefined || this.#ask(() => this.#exports.trapped_reply())) this.#fail(victim, error);
      else this.#log(victim, error);
      before = task;
      try {
        this.#exports.turn();
        return;
      } catch (next) {
        error = next;
      }
    }
  }

  /** Asks a broken instance, which may not be able to answer. */
  #ask<T>(question: () => T): T | undefined {
    try {
      return question();
    } catch {
      return undefined;
    }
  }

  #fail(request: number, trap: unknown): void {
    const waiting = this.#waiting.get(request);
    if (waiting === undefined) return;
    this.#log(request, trap);
    if (waiting.answered) return;
    waiting.answered = true;
    waiting.respond(crashed(waiting.id));
    this.#answered.push(request);
  }

  #log(request: number, trap: unknown): void {
    const error = this.#panic || String(trap);
    this.#panic = "";
    const request_id = this.#waiting.get(request)?.id;
    console.error(JSON.stringify({ event: "crashed", level: "error", request_id, error }));
  }
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  // 0.1 ms where V8 has it (14), 6 ms by hand.
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

function pick(names: string[]): Record<string, string> {
  const set = names.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(set.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
