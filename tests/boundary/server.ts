// Servers that the boundary tests ask for things, and the function under test.

/** An HTTP server that answers well, slowly, largely, or with a redirect. */
export function outside(): { url: string; aborted: () => number; stop: () => Promise<void> } {
  let aborted = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/slow": {
        const wait = Number(url.searchParams.get("ms") ?? 60_000);
        const gone = new Promise<boolean>((resolve) => {
          const timer = setTimeout(() => resolve(false), wait);
          request.signal.addEventListener("abort", () => {
            clearTimeout(timer);
            resolve(true);
          });
        });
        if (await gone) aborted += 1;
        return new Response("slow");
      }
      case "/large":
        return new Response(new Uint8Array(2_000_000));
      case "/stream":
        return new Response(new Blob([new Uint8Array(2_000_000)]).stream());
      case "/redirect": {
        const headers = new Headers({ location: "/landed" });
        headers.append("set-cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT");
        headers.append("set-cookie", "b=2");
        return new Response(null, { status: 302, headers });
      }
      default:
        return new Response(
          `${request.method} ${request.headers.get("x-asked")} ${await request.text()}`,
        );
    }
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    aborted: () => aborted,
    stop: () => server.shutdown(),
  };
}

/** A server that answers each connection's first bytes in capitals and closes; with TLS if given a certificate. */
export function shouting(tls?: { cert: string; key: string }): { port: number; stop: () => void } {
  const where = { port: 0, hostname: "127.0.0.1" };
  const listener = tls === undefined ? Deno.listen(where) : Deno.listenTls({ ...where, ...tls });
  const answer = async (connection: Deno.Conn) => {
    const buffer = new Uint8Array(100);
    const count = await connection.read(buffer);
    const heard = new TextDecoder().decode(buffer.subarray(0, count ?? 0));
    await connection.write(new TextEncoder().encode(heard.toUpperCase()));
    connection.close();
  };
  const work = async () => {
    // A client that does not trust the certificate ends its own connection, not the server.
    for await (const connection of listener) await answer(connection).catch(() => connection.close());
  };
  work().catch(() => {});
  return { port: (listener.addr as Deno.NetAddr).port, stop: () => listener.close() };
}

/** A certificate for 127.0.0.1 that signs itself. */
export async function certificate(): Promise<{ cert: string; key: string }> {
  const folder = await Deno.makeTempDir();
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  const asked = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
  ];
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const authority = ["-addext", "basicConstraints=critical,CA:FALSE"];
  const made = await new Deno.Command("openssl", {
    args: [...asked, ...names, ...authority, "-out", cert, "-keyout", key],
  }).output();
  assert(made.success, new TextDecoder().decode(made.stderr));
  const pair = { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
  await Deno.remove(folder, { recursive: true });
  return pair;
}

export function assert(condition: unknown, message = "the assertion failed"): asserts condition {
  if (!condition) throw new Error(message);
}

export function assertEquals(actual: unknown, expected: unknown): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  assert(left === right, `${left} is not ${right}`);
}
