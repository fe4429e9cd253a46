// Performs what a module asks for. Nothing here throws into the module: an outcome, good or bad,
// goes back through `resume` under the number of its effect.

import { Alarm } from "./alarm.ts";
import { each, EMPTY, readBody } from "./serve.ts";

/** Status: the HTTP status of a fetch, 1 for any other success, 0 for a failure. */
type Resume = (effect: number, status: number, head: string, body: Uint8Array) => void;

const TIMEOUT = "timeout";
const TOO_LARGE = "too large";
/** As much as one read of a socket gives. */
const READ_BYTES = 65_536;

export class Effects {
  #resume: Resume;
  #alarm = new Alarm();
  /** What can be called off, by effect. */
  #running = new Map<number, () => void>();
  #sockets = new Map<number, Deno.Conn>();
  #opened = 0;

  constructor(resume: Resume) {
    this.#resume = resume;
  }

  fetch(
    effect: number,
    head: string,
    body: Uint8Array,
    timeout: number,
    maxBody: number,
    follow: boolean,
    heads: boolean,
  ): void {
    const end = head.indexOf("\n");
    const [method, url] = head.slice(0, end).split(" ");
    const headers: [string, string][] = [];
    each(head.slice(end + 1), (name, value) => headers.push([name, value]));
    const abort = new AbortController();
    this.#alarm.set(effect, timeout, () => abort.abort(TIMEOUT));
    this.#running.set(effect, () => abort.abort("cancelled"));
    const work = async (): Promise<[number, string, Uint8Array]> => {
      const response = await fetch(url, {
        method,
        headers,
        // A view of the module's memory, which may move later: fetch makes its copy before it returns.
        body: body.length > 0 ? body as Uint8Array<ArrayBuffer> : undefined,
        redirect: follow ? "follow" : "manual",
        signal: abort.signal,
      });
      const received = await readBody(response, maxBody);
      if (received === undefined) throw TOO_LARGE;
      let lines = "";
      if (heads) { for (const [name, value] of response.headers) lines += `${name}: ${value}\n`; }
      return [response.status, lines, new Uint8Array(received)];
    };
    this.#settle(effect, work());
  }

  sleep(effect: number, ms: number): void {
    this.#alarm.set(effect, ms, () => this.#resume(effect, 1, "", EMPTY));
  }

  /** Uses only what the hosted runtime allows after a module has started: no `rename`, nothing synchronous. */
  file(effect: number, operation: string, path: string, body: Uint8Array): void {
    const copied = body.slice();
    this.#perform(effect, () =>
      inTurn(path, async () => {
        switch (operation) {
          case "read":
            return await Deno.readFile(path);
          case "write":
            await writeFile(path, copied);
            return EMPTY;
          case "list": {
            const names: string[] = [];
            for await (const entry of Deno.readDir(path)) names.push(entry.name);
            return new TextEncoder().encode(names.join("\n"));
          }
          default:
            await Deno.remove(path);
            return EMPTY;
        }
      }));
  }

  connect(effect: number, hostname: string, port: number, tls: boolean, ca: string): void {
    const work = async (): Promise<[number, string, Uint8Array]> => {
      const caCerts = ca === "" ? undefined : [ca];
      const connection = tls
        ? await Deno.connectTls({ hostname, port, caCerts })
        : await Deno.connect({ hostname, port });
      this.#opened += 1;
      this.#sockets.set(this.#opened, connection);
      return [1, String(this.#opened), EMPTY];
    };
    this.#settle(effect, work());
  }

  read(effect: number, socket: number): void {
    this.#perform(effect, async () => {
      const buffer = new Uint8Array(READ_BYTES);
      const count = await this.#socket(socket).read(buffer);
      return buffer.subarray(0, count ?? 0);
    });
  }

  write(effect: number, socket: number, body: Uint8Array): void {
    const copied = body.slice();
    this.#perform(effect, async () => {
      for (let sent = 0; sent < copied.length;) {
        sent += await this.#socket(socket).write(copied.subarray(sent));
      }
      return EMPTY;
    });
  }

  close(socket: number): void {
    try {
      this.#sockets.get(socket)?.close();
    } catch {
      // The other side was first.
    }
    this.#sockets.delete(socket);
  }

  verify(effect: number, algorithm: string, jwk: string, message: Uint8Array, signature: Uint8Array): void {
    const [signed, claimed] = [message.slice(), signature.slice()];
    const work = async (): Promise<[number, string, Uint8Array]> => {
      const { name, hash, ...key } = ALGORITHMS[algorithm];
      const { key_ops: _, use: __, alg: ___, ...bare } = JSON.parse(jwk);
      const imported = await crypto.subtle.importKey("jwk", bare, { name, hash, ...key }, false, ["verify"]);
      const valid = await crypto.subtle.verify({ name, hash }, imported, claimed, signed);
      return [1, String(valid), EMPTY];
    };
    this.#settle(effect, work());
  }

  /** Calls an effect off; its outcome will not be asked for. */
  cancel(effect: number): void {
    this.#alarm.clear(effect);
    this.#running.get(effect)?.();
    this.#running.delete(effect);
  }

  /** Calls all of them off: nobody is left to hear their outcomes. */
  cancelAll(): void {
    this.#alarm.clearAll();
    for (const effect of [...this.#running.keys()]) this.cancel(effect);
    for (const socket of [...this.#sockets.keys()]) this.close(socket);
  }

  #socket(socket: number): Deno.Conn {
    const connection = this.#sockets.get(socket);
    if (connection === undefined) throw new Error("the socket is closed");
    return connection;
  }

  #perform(effect: number, work: () => Promise<Uint8Array>): void {
    this.#settle(effect, work().then((body) => [1, "", body]));
  }

  #settle(effect: number, work: Promise<[number, string, Uint8Array]>): void {
    work.catch((error) => [0, reason(error), EMPTY] as [number, string, Uint8Array]).then(
      ([status, head, body]) => {
        this.#alarm.clear(effect);
        this.#running.delete(effect);
        this.#resume(effect, status, head, body);
      },
    );
  }
}

/** The last operation on each path that is in use. All instances of a worker share its files. */
const lastOperations = new Map<string, Promise<unknown>>();

/** Runs the operations on a path one after another, in the order of the calls: no reader sees half a write. */
function inTurn<T>(path: string, operation: () => Promise<T>): Promise<T> {
  const previous = lastOperations.get(path);
  const result = previous === undefined ? operation() : previous.then(operation, operation);
  const settled = result.catch(() => {}).then(() => {
    if (lastOperations.get(path) === settled) lastOperations.delete(path);
  });
  lastOperations.set(path, settled);
  return result;
}

/** Makes the folders only when they are missing: they seldom are. */
async function writeFile(path: string, content: Uint8Array): Promise<void> {
  try {
    await Deno.writeFile(path, content);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, content);
  }
}

const ALGORITHMS: Record<string, { name: string; hash: string; namedCurve?: string }> = {
  HS256: { name: "HMAC", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ES256: { name: "ECDSA", hash: "SHA-256", namedCurve: "P-256" },
};

function reason(error: unknown): string {
  if (error === TIMEOUT || error === TOO_LARGE) return error;
  if (error instanceof Deno.errors.NotFound) return "not found";
  return error instanceof Error ? error.message : String(error);
}
