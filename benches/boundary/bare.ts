// An echo as a TypeScript author would write it, with the headers read and written that the SDK reads
// and writes. Measured beside the SDK's by `scripts/bench boundary`.

const HEADERS = [
  "authorization",
  "apikey",
  "x-service-key",
  "accept",
  "origin",
  "access-control-request-method",
];

Deno.serve(async (request) => {
  const id = request.headers.get("x-request-id") ?? crypto.randomUUID();
  let seen = 0;
  for (const name of HEADERS) if (request.headers.get(name) !== null) seen += 1;
  if (seen > HEADERS.length || new URL(request.url).pathname !== "/boundary/echo") {
    return new Response(null, { status: 404 });
  }
  const body = new Uint8Array(await request.arrayBuffer());
  return new Response(body, {
    headers: {
      "content-type": request.headers.get("content-type") ?? "application/octet-stream",
      "x-request-id": id,
      "access-control-allow-origin": "*",
    },
  });
});
