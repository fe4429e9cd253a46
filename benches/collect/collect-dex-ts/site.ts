// A session on a DEX site: form login with CSRF token and cookies, list, downloads.

import type { Budget } from "./store.ts";

export interface Listed {
  dex_id: number;
  case_serial: string;
  /** RFC 3339, UTC. */
  captured_at: string;
  firmware: string | null;
}

interface Listing {
  recordsFiltered: number;
  data: {
    dexRaw: { id: number; created: string; firmware?: string | null };
    devices: { caseSerial: string };
  }[];
}

const PAGE_ROWS = 100;
const TIMEOUT_MS = 20_000;
const COLUMNS = ["", "", "dexRaw.created", "dexRaw.parsed", "dexRaw.uploadReason", "dexRaw.dexSource"]
  .concat(["dexRaw.firmware", "devices.caseSerial", "customers.name", "vdiToDEX"]);

export class Session {
  #cookies = new Map<string, string>();
  #csrf = "";

  constructor(
    private readonly budget: Budget,
    private readonly site: string,
    private readonly email: string,
    private readonly password: string,
  ) {}

  async login(): Promise<void> {
    this.#cookies.clear();
    this.#csrf = token(await (await this.#send("/login")).text());
    const form = new URLSearchParams({ _token: this.#csrf, email: this.email, password: this.password });
    const reply = await this.#send("/login", form);
    await reply.body?.cancel();
    const location = reply.headers.get("location") ?? "";
    if (reply.status < 300 || reply.status > 399 || location.includes("/login")) {
      throw new Error("LOGIN_REFUSED: the DEX site refuses the login");
    }
    this.#csrf = token(await (await this.#send("/dex")).text());
  }

  /** Every capture of the window, oldest first. */
  async list(from: Date, to: Date): Promise<Listed[]> {
    const rows = new Map<number, Listed>();
    for (let start = 0;;) {
      const form = new URLSearchParams({ draw: "1", start: `${start}`, length: `${PAGE_ROWS}` });
      COLUMNS.forEach((name, index) => form.set(`columns[${index}][data]`, name));
      form.set("order[0][column]", "2");
      form.set("order[0][dir]", "desc");
      form.set("startDateVal", bound(from));
      form.set("endDateVal", bound(to));
      form.set("offset", "0");
      const listing: Listing = await (await this.#authenticated("/dex", form)).json();
      for (const { dexRaw, devices } of listing.data) {
        rows.set(dexRaw.id, {
          dex_id: dexRaw.id,
          case_serial: devices.caseSerial,
          captured_at: `${dexRaw.created.replace(" ", "T")}Z`,
          firmware: dexRaw.firmware ?? null,
        });
      }
      start += listing.data.length;
      if (listing.data.length === 0 || start >= listing.recordsFiltered) break;
    }
    return [...rows.values()].sort((a, b) =>
      Date.parse(a.captured_at) - Date.parse(b.captured_at) || a.dex_id - b.dex_id
    );
  }

  async fetch(dexId: number): Promise<Uint8Array> {
    const form = new URLSearchParams({ dexId: `${dexId}` });
    const reply = await this.#authenticated(`/dex/getRawDex/${dexId}`, form);
    if (reply.headers.get("content-type")?.startsWith("text/html")) throw new Error("a page of HTML");
    return new Uint8Array(await reply.arrayBuffer());
  }

  /** A POST as the page's own scripts make it. A session that has expired is renewed once. */
  async #authenticated(path: string, form: URLSearchParams): Promise<Response> {
    for (const renewed of [false, true]) {
      const reply = await this.#send(path, form, {
        accept: "application/json, text/plain, */*",
        "x-csrf-token": this.#csrf,
        "x-requested-with": "XMLHttpRequest",
      });
      if (reply.ok) return reply;
      await reply.body?.cancel();
      if (renewed || ![302, 401, 419].includes(reply.status)) {
        throw new Error(`the DEX site answers ${reply.status}`);
      }
      await this.login();
    }
    throw new Error("unreachable");
  }

  async #send(path: string, body?: URLSearchParams, headers: HeadersInit = {}): Promise<Response> {
    this.budget.spend();
    const all = new Headers(headers);
    if (this.#cookies.size > 0) {
      all.set("cookie", [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    }
    const reply = await fetch(this.site + path, {
      method: body === undefined ? "GET" : "POST",
      headers: all,
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    for (const cookie of reply.headers.getSetCookie()) {
      const [pair] = cookie.split(";");
      const at = pair.indexOf("=");
      if (at > 0) this.#cookies.set(pair.slice(0, at).trim(), pair.slice(at + 1));
    }
    return reply;
  }
}

function token(page: string): string {
  const found = /<meta[^>]*csrf-token[^>]*content=["']([^"']+)["']/.exec(page);
  if (found === null) throw new Error("the page has no CSRF token");
  return found[1];
}

function bound(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "+00:00");
}
