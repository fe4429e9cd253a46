// One company: log in, list, download what is new, store.

import { parse, read } from "../../dex/parser.ts";
import { add, type Capture, type Neighbour, snapshot } from "./sales.ts";
import { open } from "./seal.ts";
import { type Listed, Session } from "./site.ts";
import { type Budget, call } from "./store.ts";

export interface Claim {
  company_id: string;
  company_name: string;
  collect_from: string;
  username_encrypted: string | null;
  password_encrypted: string | null;
  site_url: string | null;
  skip_reason: string | null;
}

export interface Collected {
  recordsCollected: number;
  machinesUpdated: number;
  errors?: { dexId: number; error: string }[];
  /** When the oldest of them was made. */
  failedFrom?: string;
}

const HOUR = 3_600_000;
const STORED_AT_ONCE = 20;
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined when the budget ended it. */
export async function collect(budget: Budget, claim: Claim): Promise<Collected | undefined> {
  const { company_id } = claim;
  const secret = (part: string, sealed: string | null) =>
    open(`user_credentials/${company_id}/${part}`, sealed!);
  const email = secret("username", claim.username_encrypted);
  const password = secret("password", claim.password_encrypted);
  const session = new Session(budget, claim.site_url!.replace(/\/+$/, ""), email, password);
  await session.login();

  const now = Date.now();
  const listed = await session.list(new Date(claim.collect_from), new Date(now + 24 * HOUR));
  const collected: Collected = { recordsCollected: 0, machinesUpdated: 0 };
  if (listed.length === 0) return collected;
  budget.spend();
  const p_dex_ids = listed.map((row) => row.dex_id);
  const unseen = new Set(
    await call<number[]>("collect_dex_unseen", { p_company_id: company_id, p_dex_ids }),
  );
  const rows = listed.filter((row) => unseen.has(row.dex_id));

  const machines = new Set<string>();
  const errors: Collected["errors"] = [];
  for (let at = 0; at < rows.length; at += STORED_AT_ONCE) {
    const captures: Capture[] = [];
    let isOpen = true;
    for (const row of rows.slice(at, at + STORED_AT_ONCE)) {
      isOpen = budget.mayGoOn();
      if (!isOpen) break;
      try {
        captures.push(capture(row, await session.fetch(row.dex_id)));
      } catch (error) {
        errors.push({ dexId: row.dex_id, error: String(error) });
      }
    }
    if (captures.length > 0) {
      for (const { dex_id, outcome, error } of await store(budget, company_id, captures)) {
        if (outcome === "stored") {
          collected.recordsCollected += 1;
          machines.add(captures.find((one) => one.dex_id === dex_id)!.case_serial);
        } else if (outcome !== "duplicate") {
          errors.push({ dexId: dex_id, error: error ?? "the database rejected it" });
        }
      }
    }
    if (!isOpen) return undefined;
  }
  collected.machinesUpdated = machines.size;
  if (errors.length === 0) return collected;
  collected.errors = errors;
  collected.failedFrom = rows.find((row) => errors.some((one) => one.dexId === row.dex_id))?.captured_at;
  if (errors.length === rows.length && Date.parse(rows.at(-1)!.captured_at) > now - 48 * HOUR) {
    throw new Error(`CAPTURES_FAILED: ${errors[0].error}`);
  }
  return collected;
}

/** Reads what was downloaded. */
function capture(row: Listed, raw: Uint8Array): Capture {
  let [raw_content, raw_encoding] = ["", "utf-8"];
  try {
    raw_content = text.decode(raw);
  } catch {
    raw_encoding = "base64";
  }
  if (raw_encoding === "base64" || raw_content.includes("\0")) {
    [raw_content, raw_encoding] = [btoa(String.fromCharCode(...raw)), "base64"];
  }
  // A file with several dumps holds the reading that was asked for in its last one.
  const dump = parse(raw).at(-1)!;
  const parsed = read(dump);
  const { status } = parsed.crc;
  const counters = snapshot(row, parsed);
  let flaw: string | undefined;
  if (counters.lines.length === 0) flaw = "no_counters";
  else if (status === "mismatch") flaw = "mismatch";
  else if (dump.isTruncated && !status.startsWith("valid")) flaw = "truncated";
  return {
    dex_id: row.dex_id,
    case_serial: row.case_serial,
    captured_at: row.captured_at,
    firmware_version: row.firmware,
    raw_content,
    raw_encoding,
    parsed_data: parsed,
    crc_status: status,
    has_errors: status === "mismatch" || dump.isTruncated || parsed.errors.length > 0,
    record_count: parsed.segments,
    flaw,
    snapshot: flaw === undefined ? counters : undefined,
  };
}

interface Stored {
  dex_id: number;
  outcome: string;
  error: string | null;
}

async function store(budget: Budget, p_company_id: string, captures: Capture[]): Promise<Stored[]> {
  const places = captures.filter((one) => one.snapshot !== undefined)
    .map(({ dex_id, case_serial, captured_at }) => ({ dex_id, case_serial, captured_at }));
  let around: Record<string, Neighbour[]> = {};
  budget.spend();
  if (places.length > 0) {
    around = await call("collect_dex_around", { p_company_id, p_captures: places });
  }
  add(captures, around);
  budget.spend();
  const p_captures = captures.map(({ snapshot: _, ...row }) => row);
  return await call("collect_dex_store", { p_company_id, p_captures });
}
