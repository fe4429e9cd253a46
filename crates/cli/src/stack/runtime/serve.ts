// `Deno.serve` and `export default { fetch }`.

import { inTraceOf } from "./calls.ts";
import { onRetire } from "./ending.ts";
import { deno, internals } from "./host.ts";
import { withinLimits } from "./limits.ts";

type Handler = (request: Request, info: unknown) => unknown;

interface Options {
  handler?: Handler;
  onListen?: (address: { hostname: string; port: number }) => void;
  onError?: (error: unknown) => unknown;
}

/** All that a function learns about its caller's connection, and where it believes to listen. */
const ADDRESS = { hostname: "0.0.0.0", port: 9999, transport: "tcp" };
const INFO = { remoteAddr: ADDRESS };

let serving = false;

/** Of the options only `handler`, `onListen` and `onError` count. */
export function serve(first: Options | Handler, second?: Handler): unknown {
  const options = typeof first === "object" && first !== null ? first : {};
  const handler = [first, second, options.handler].find((value) => typeof value === "function");
  if (handler === undefined) throw new TypeError("A handler function must be provided.");
  if (serving) throw new deno.errors.AddrInUse("the worker serves already: Deno.serve can be called once");
  serving = true;

  const { onListen, onError } = options;
  // The stack decides on the real address: DENO_SERVE_ADDRESS.
  const server = deno.serve({
    handler: (request) => withinLimits(answer(handler as Handler, onError, request)) as Response,
    onListen: () => {
      if (typeof onListen === "function") onListen({ hostname: ADDRESS.hostname, port: ADDRESS.port });
    },
  });
  onRetire(() => server.shutdown());
  return { finished: server.finished, shutdown: () => server.shutdown(), ref() {}, unref() {} };
}

/** Serves with the `fetch` of the function's default export, where it has one. */
export function serveDefaultExport(): void {
  internals.core.addMainModuleHandler((module) => {
    const exported = module.default;
    if (typeof exported !== "object" || exported === null || !Object.hasOwn(exported, "fetch")) return;
    const { fetch } = exported as { fetch: unknown };
    if (typeof fetch !== "function") {
      throw new TypeError("Invalid type for fetch: must be a function with a single or no parameter");
    }
    serve((request) => fetch.call(exported, request));
  });
}

/** The reply itself where the handler gives one at once: a promise less for most requests of a module. */
function answer(handler: Handler, onError: Options["onError"], request: Request): unknown {
  let reply: unknown;
  try {
    reply = inTraceOf(request, () => handler(request, INFO));
  } catch (error) {
    return failed(error, onError);
  }
  if (reply instanceof Response) return reply;
  return Promise.resolve(reply).then(checked, (error) => failed(error, onError));
}

function checked(reply: unknown): Response {
  if (reply instanceof Response) return reply;
  console.error(new TypeError("the handler must return a Response or a promise of one"));
  return new Response("Bad Gateway", { status: 502 });
}

async function failed(error: unknown, onError: Options["onError"]): Promise<Response> {
  if (typeof onError !== "function") {
    console.error(error);
    return new Response("Internal Server Error", { status: 500 });
  }
  try {
    return checked(await onError(error));
  } catch (second) {
    // Nobody handles it: it ends the worker.
    reportError(second);
    throw second;
  }
}
