// Runs a module: takes requests in, performs the effects it asks for, and replaces an instance
// that trapped, so that a panic costs one request.

import { Effects } from "./effects.ts";
import { compile, type Exports, type Packed } from "./module.ts";
import { BODYLESS_METHODS, crashed, EMPTY, readBody, readHead, requestId, tooLarge, write } from "./serve.ts";

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
export const USERS = ["SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY", "SUPABASE_JWKS", "JWT_SECRET"];

/** Settings of the SDK itself, which hold nothing secret. */
const SETTINGS = ["LOG_LEVEL", "CORS_ORIGINS", "CLIENT_IP_HEADER", "SUPABASE_URL"];

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void } | undefined;

/** A request on its way through an instance. */
interface Waiting {
  id: string;
  answered: boolean;
  /** There as soon as the module has given it. */
  reply: Response | undefined;
  /** Hands it over to who waits. */
  respond: ((reply: Response) => void) | undefined;
  /** Ends the background work, once the reply is out and work is left. */
  finish: (() => void) | undefined;
}

/** Makes the handler for `Deno.serve`. */
export function handler(packed: Packed, options: Options): (request: Request) => Promise<Response> {
  const instantiate = compile(packed);
  const secrets = pick([...options.secrets, ...SETTINGS]);
  const headers = [...(options.headers ?? []), ...clientHeader(secrets)];
  secrets.IRONFERRY_MODULE = `${packed.name} ${packed.source}`;
  let instance: Shim | undefined;

  return async (request) => {
    const id = requestId(request);
    let body = EMPTY;
    if (!BODYLESS_METHODS.has(request.method)) {
      const received = await readBody(request, options.maxBody);
      if (received === undefined) return tooLarge(id);
      body = new Uint8Array(received);
    }
    const head = readHead(request, id, headers);
    if (instance === undefined || instance.broken) instance = new Shim(instantiate(), secrets);
    return instance.serve(id, head, body);
  };
}

/** One instance and all that is under way in it. */
export class Shim extends Effects {
  broken = false;
  #exports: Exports;
  /** A request's number is its place here, which is free again when nothing of it is left. */
  #waiting: (Waiting | undefined)[] = [];
  #free: number[] = [];
  #answered: number[] = [];
  #panic = "";

  constructor(exports: Exports, secrets: Record<string, string>) {
    super((effect, status, head, body) => {
      try {
        exports.resume(effect, status, head, body);
      } catch (trap) {
        this.#recover(trap);
      }
      this.#keepAlive();
    });
    this.#exports = exports;
    exports.start(secrets, this);
  }

  /** The reply itself where the module asks nothing of the outside, else the promise of it. */
  serve(id: string, head: string, body: Uint8Array): Response | Promise<Response> {
    const waiting = wait(id);
    const request = this.#number(waiting);
    try {
      this.#exports.begin(request, head, body);
    } catch (trap) {
      this.#recover(trap, request);
    }
    this.#keepAlive();
    return waiting.reply ?? new Promise((respond) => waiting.respond = respond);
  }

  /** Called by the module when a request's reply is ready. */
  respond(
    request: number,
    status: number,
    flags: number,
    head: string | undefined,
    body: Uint8Array,
  ): void {
    const waiting = this.#waiting[request];
    if (waiting === undefined || waiting.answered) return;
    this.#answer(request, waiting, write(waiting.id, status, flags, head, body));
  }

  /** Called by the module when nothing of a request is left, not even in the background. */
  done(request: number): void {
    const waiting = this.#waiting[request];
    if (waiting === undefined) return;
    waiting.finish?.();
    this.#waiting[request] = undefined;
    this.#free.push(request);
  }

  /** Called by the module's panic hook, before the trap. */
  panicked(message: string): void {
    this.#panic = message;
  }

  #number(waiting: Waiting): number {
    const number = this.#free.pop() ?? this.#waiting.length;
    this.#waiting[number] = waiting;
    return number;
  }

  #answer(request: number, waiting: Waiting, reply: Response): void {
    waiting.answered = true;
    waiting.reply = reply;
    waiting.respond?.(reply);
    this.#answered.push(request);
  }

  /** Keeps the worker for the work that requests left in the background. */
  #keepAlive(): void {
    for (let request = this.#answered.pop(); request !== undefined; request = this.#answered.pop()) {
      const waiting = this.#waiting[request];
      if (waiting === undefined) continue;
      const work = new Promise<void>((finish) => waiting.finish = finish);
      if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(work);
    }
  }

  /**
   * After a throw out of the module, which is a trap: nothing else comes out of it. Gives up the task
   * that trapped and lets the others go on: an instance that panicked still holds their futures. One
   * whose stack or memory is spent traps again, and they fail in turn.
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
        for (const left of this.#waiting.keys()) {
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
    const waiting = this.#waiting[request];
    if (waiting === undefined) return;
    this.#log(request, trap);
    if (!waiting.answered) this.#answer(request, waiting, crashed(waiting.id));
  }

  #log(request: number, trap: unknown): void {
    const error = this.#panic || String(trap);
    this.#panic = "";
    const request_id = this.#waiting[request]?.id;
    console.error(JSON.stringify({ event: "crashed", level: "error", request_id, error }));
  }
}

/** The header in which the operator's front end says where a caller is. */
function clientHeader(settings: Record<string, string>): string[] {
  const name = settings.CLIENT_IP_HEADER?.trim() ?? "";
  return /^[\w-]+$/.test(name) ? [name] : [];
}

function wait(id: string): Waiting {
  return { id, answered: false, reply: undefined, respond: undefined, finish: undefined };
}

function pick(names: string[]): Record<string, string> {
  const set = names.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(set.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
