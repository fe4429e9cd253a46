// Requests and responses in the form in which they cross into a module: heads as lines of text,
// bodies as bytes. `crates/ironferry/src/wasm.rs` is the other side.

/**
 * What the SDK reads besides the id, in the order of `HEADERS` in wasm.rs. Each header costs half a
 * microsecond, so no other is looked at.
 */
const HEADERS = [
  "authorization",
  "apikey",
  "x-service-key",
  "content-type",
  "accept",
  "origin",
  "access-control-request-method",
];

const MAX_BODY = 10_000_000;

/** Methods whose requests have no body. */
export const BODYLESS_METHODS: Set<string> = new Set(["GET", "HEAD"]);

export const EMPTY: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** `METHOD url`, the request's id, the values of the SDK's headers, and the function's own by name. */
export function readHead(request: Request, id: string, more: string[]): string {
  const headers = request.headers;
  let head = `${request.method} ${request.url}\n${id}`;
  for (const name of HEADERS) head += `\n${headers.get(name) ?? ""}`;
  for (const name of more) {
    const value = headers.get(name);
    if (value !== null) head += `\n${name}: ${value}`;
  }
  return head;
}

/** The caller's own id where it is harmless in a log, a fresh one otherwise. */
export function requestId(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && /^[\w.-]{1,64}$/.test(given) ? given : crypto.randomUUID();
}

/**
 * Reads a body of at most so many bytes; undefined when there are more. Not async: a promise less for
 * nearly every body.
 */
export function readBody(message: Request | Response, limit = MAX_BODY): Promise<ArrayBuffer | undefined> {
  const announced = message.headers.get("content-length");
  if (announced !== null) {
    if (Number(announced) > limit) return refuse(message);
    // Nothing longer can come, unless a reply was compressed on its way; what a server receives is handed
    // over as it came. `body` is not looked at: it would make a stream, which costs more than all the rest.
    if (message instanceof Request || !message.headers.has("content-encoding")) return message.arrayBuffer();
  }
  return collect(message, limit);
}

async function refuse(message: Request | Response): Promise<undefined> {
  await message.body?.cancel();
}

async function collect(message: Request | Response, limit: number): Promise<ArrayBuffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of message.body ?? []) {
    length += chunk.length;
    if (length > limit) return undefined;
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body.buffer;
}

/** Statuses that must not have a body. */
const BODYLESS = new Set([101, 103, 204, 205, 304]);

/** Flags of a reply, as wasm.rs has them: any origin may read it, and above that bit its content type. */
const ANY_ORIGIN = 1;
const CONTENT_TYPES = ["", "application/json", "application/problem+json", "text/plain; charset=utf-8"];

/** The body is a view of the module's memory, of which a response makes a copy. */
export function write(
  id: string,
  status: number,
  flags: number,
  head: string | undefined,
  body: Uint8Array,
): Response {
  const reply = new Response(BODYLESS.has(status) ? null : body as Uint8Array<ArrayBuffer>, { status });
  // One by one they cost half of what the constructor takes for them.
  const headers = reply.headers;
  headers.append("x-request-id", id);
  if (flags > ANY_ORIGIN) headers.append("content-type", CONTENT_TYPES[flags >> 1]);
  if (flags & ANY_ORIGIN) headers.append("access-control-allow-origin", "*");
  if (head !== undefined) each(head, (name, value) => headers.append(name, value));
  return reply;
}

/** Goes through `name: value` lines. */
export function each(head: string, take: (name: string, value: string) => void): void {
  for (let at = 0; at < head.length;) {
    const colon = head.indexOf(": ", at);
    const end = head.indexOf("\n", colon);
    take(head.slice(at, colon), head.slice(colon + 2, end));
    at = end + 1;
  }
}

export function crashed(id: string): Response {
  return failure(500, "CRASHED", "the function crashed; the log has the reason under this request id", id);
}

export function tooLarge(id: string): Response {
  return failure(413, "BODY_TOO_LARGE", "the body is larger than this function accepts", id);
}

function failure(status: number, code: string, error: string, id: string): Response {
  return Response.json({ success: false, error, code, request_id: id }, {
    status,
    headers: { "x-request-id": id, "access-control-allow-origin": "*" },
  });
}
