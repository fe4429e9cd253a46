// What captures add to the sales of their machines: counters of one and of the next, compared. As
// crates/eva-dts/src/sales explains it.

import type { read } from "../../dex/parser.ts";
import type { Listed } from "./site.ts";

const COUNTERS = ["vends", "cash", "cashless", "token", "free", "test", "cash_box", "bills"];

type Line = [selection: string | null, counter: string, count: number | null, value: number | null];

interface Counters {
  serial?: string;
  initialised_at?: string;
  lines: Line[];
}

/** The counters of a capture and its place in time, microseconds since 1970. */
interface Snapshot extends Counters {
  at: number;
  id: number;
}

export interface Neighbour {
  dex_id: number;
  captured_at: number;
  counters: Counters;
}

interface Interval {
  from: number;
  to: number;
  continuity: string;
  sales: Line[];
}

/** A row of `dex_captures`, as `collect_dex_store` takes it. */
export interface Capture {
  dex_id: number;
  case_serial: string;
  captured_at: string;
  firmware_version: string | null;
  raw_content: string;
  raw_encoding: string;
  parsed_data: ReturnType<typeof read>;
  crc_status: string;
  has_errors: boolean;
  record_count: number;
  flaw?: string;
  sales?: { around: number[]; counters: Counters; intervals: Interval[] };
  /** Its counters, until `sales` is made of them. */
  snapshot?: Snapshot;
}

interface Amount {
  count?: number;
  value?: number;
}

const plus = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : b === undefined ? a : a + b;
const sum = (a: Amount = {}, b: Amount = {}): Amount => ({
  count: plus(a.count, b.count),
  value: plus(a.value, b.value),
});
const isNone = (amount: Amount) => amount.count === undefined && amount.value === undefined;

/** The counters of a reading. */
export function snapshot(row: Listed, parsed: ReturnType<typeof read>): Snapshot {
  const { totals, products, identity } = parsed;
  const lines: Line[] = [];
  const put = (selection: string | null, counter: string, { count, value }: Amount = {}) => {
    if (count !== undefined || value !== undefined) {
      lines.push([selection, counter, count ?? null, value ?? null]);
    }
  };
  put(null, "vends", totals.vends?.since_init);
  put(null, "cash", totals.cash_sales?.since_init);
  put(null, "cashless", sum(totals.cashless_1_sales?.since_init, totals.cashless_2_sales?.since_init));
  put(null, "token", sum(totals.token_sales?.since_init, totals.value_token_sales?.since_init));
  put(null, "free", totals.free_vends?.since_init);
  put(null, "test", totals.test_vends?.since_init);
  put(null, "cash_box", { value: totals.cash_in?.since_init?.cash_box });
  put(null, "bills", { value: totals.cash_in?.since_init?.bills });
  for (const product of products) {
    const by = (fits: (device: string) => boolean) =>
      (product.payments ?? []).filter((one: { device: string }) => fits(one.device))
        .reduce(
          (all: Amount, one: { vends?: { since_init?: Amount } }) => sum(all, one.vends?.since_init),
          {},
        );
    const vends = product.vends?.since_init ?? {};
    put(product.selection, "vends", isNone(vends) ? by(() => true) : vends);
    put(product.selection, "cash", by((device) => device === "CA"));
    put(product.selection, "cashless", by((device) => /^D[A-Z]$/.test(device)));
    put(product.selection, "token", by((device) => device === "TA"));
    put(product.selection, "free", product.free_vends?.since_init);
    put(product.selection, "test", product.test_vends?.since_init);
  }
  lines.sort((a, b) => {
    if (a[0] === b[0]) return COUNTERS.indexOf(a[1]) - COUNTERS.indexOf(b[1]);
    return a[0] === null ? -1 : b[0] === null ? 1 : a[0] < b[0] ? -1 : 1;
  });
  // Of a selection that a file lists twice the first one counts.
  const once = lines.filter((line, at) =>
    at === 0 || line[0] !== lines[at - 1][0] || line[1] !== lines[at - 1][1]
  );
  return {
    at: Date.parse(row.captured_at) * 1_000,
    id: row.dex_id,
    serial: identity.serial,
    initialised_at: parsed.initialised_at,
    lines: once,
  };
}

/** Orders the captures of a call by time and adds their sales, given what is stored around them. */
export function add(captures: Capture[], around: Record<string, Neighbour[]>): void {
  captures.sort((a, b) => Date.parse(a.captured_at) - Date.parse(b.captured_at) || a.dex_id - b.dex_id);
  const machines = new Map<string, Snapshot[]>();
  for (const [serial, stored] of Object.entries(around)) {
    machines.set(
      serial,
      stored.map(({ dex_id, captured_at, counters }) => ({ ...counters, at: captured_at, id: dex_id })),
    );
  }
  for (const capture of captures) {
    const own = capture.snapshot;
    if (own === undefined) continue;
    const known = machines.get(capture.case_serial) ?? [];
    machines.set(capture.case_serial, known);
    const after = known.findIndex((other) => isBefore(own, other));
    const place = after < 0 ? known.length : after;
    known.splice(place, 0, own);
    const window = known.slice(Math.max(place - 2, 0), place + 3);
    const { at: _, id: __, ...counters } = own;
    capture.sales = {
      around: window.filter((other) => other !== own).map((other) => other.id),
      counters,
      intervals: follow(window, own),
    };
  }
}

function isBefore(one: Snapshot, other: Snapshot): boolean {
  return one.at !== other.at ? one.at < other.at : one.id < other.id;
}

type Fall = "alone" | "to zero" | "back";

/** One counter, as far as it was followed. */
interface Followed {
  value: number;
  /** It fell alone: a slip of one capture, or somebody set it back. The next capture tells. */
  fallenTo?: number;
}

interface Track {
  count?: Followed;
  value?: Followed;
}

/** What was sold from each of these captures to the next, as far as it ends with this one or later. */
function follow(window: Snapshot[], from: Snapshot): Interval[] {
  let tracks = new Map<string, Track>();
  let [serial, initialised]: [string?, string?] = [];
  const intervals: Interval[] = [];
  window.forEach((next, at) => {
    let continuity = "continuous";
    if (at > 0) continuity = judge(tracks, next, serial, initialised);
    if (continuity === "board_changed") tracks = new Map();
    const fall = { reinitialised: "to zero", rolled_back: "back" }[continuity] ?? "alone";
    const sales = advance(tracks, next, fall as Fall);
    if (at > 0 && !isBefore(next, from)) {
      const sold = continuity === "board_changed" ? [] : sales;
      intervals.push({ from: window[at - 1].id, to: next.id, continuity, sales: sold });
    }
    const isNew = at === 0 || continuity === "board_changed";
    serial = isNew ? next.serial : next.serial ?? serial;
    initialised = isNew ? next.initialised_at : next.initialised_at ?? initialised;
  });
  return intervals;
}

const name = ([selection, counter]: Line) => `${selection ?? ""}\n${counter}\n${selection === null}`;

function advance(tracks: Map<string, Track>, next: Snapshot, fall: Fall): Line[] {
  const sales: Line[] = [];
  for (const line of next.lines) {
    const key = name(line);
    const track = tracks.get(key) ?? {};
    tracks.set(key, track);
    const sold = (part: "count" | "value", now: number | null): number | null => {
      if (now === null) return null;
      const followed = track[part];
      if (followed !== undefined) return gain(followed, now, fall);
      track[part] = { value: now };
      return null;
    };
    const [count, value] = [sold("count", line[2]), sold("value", line[3])];
    if (count || value) sales.push([line[0], line[1], count, value]);
  }
  return sales;
}

function gain(followed: Followed, now: number, fall: Fall): number {
  const { value: old, fallenTo } = followed;
  followed.fallenTo = undefined;
  followed.value = now;
  if (fallenTo !== undefined && now >= fallenTo && now < old) return now - fallenTo;
  if (now >= old) return now - old;
  if (fall === "to zero") return now;
  if (fall === "back") return 0;
  const gained = wrapped(old, now);
  if (gained !== undefined) return gained;
  [followed.value, followed.fallenTo] = [old, now];
  return 0;
}

const ENDS = Array.from({ length: 17 }, (_, bits) => 2 ** (bits + 16)).filter((end) => end !== 2 ** 20)
  .concat(1_000_000, 100_000_000);

/** What a counter gained that came round. */
function wrapped(old: number, now: number): number | undefined {
  const end = ENDS.find((end) => end > old && end - old + now <= Math.floor(end / 16));
  return end === undefined ? undefined : end - old + now;
}

function judge(tracks: Map<string, Track>, next: Snapshot, serial?: string, initialised?: string): string {
  if (serial !== undefined && next.serial !== undefined && serial !== next.serial) return "board_changed";
  let [ranOn, fell, fellByHalf] = [0, 0, 0];
  for (const line of next.lines) {
    const track = tracks.get(name(line));
    for (const [old, now] of [[track?.count?.value, line[2]], [track?.value?.value, line[3]]]) {
      if (!old || now === null || now === undefined) continue;
      if (now >= old || wrapped(old, now) !== undefined) ranOn++;
      else {
        fell++;
        if (now < Math.floor(old / 2)) fellByHalf++;
      }
    }
  }
  const isAnew = initialised !== undefined && next.initialised_at !== undefined &&
    initialised !== next.initialised_at;
  if (fell <= ranOn) return "continuous";
  return isAnew || fellByHalf * 2 >= fell ? "reinitialised" : "rolled_back";
}
