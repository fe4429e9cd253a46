// Reads DEX audits as one writes it in plain TypeScript: split the lines, split the elements, build the
// object. Written for the benchmark alone: it gives the same rows as eva-dts for the captures there,
// and knows less of what real machines do.

interface Segment {
  id: string;
  /** `e[0]` is the identifier, so that elements have the standard's numbers. */
  e: string[];
  line: number;
  raw: string;
}

interface Warning {
  line: number;
  oddity: string;
  text: string;
}

export interface Dump {
  segments: Segment[];
  warnings: Warning[];
  crc: { status: string; sent?: number; computed?: number };
  isTruncated: boolean;
}

const CRC = new Uint16Array(256).map((_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >> 1) ^ 0xa001 : byte >> 1;
  return byte;
});
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder("utf-8", { fatal: true });

function crcOver(crc: number, bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to; at++) crc = (crc >> 8) ^ CRC[(crc ^ bytes[at]) & 0xff];
  return crc;
}

const lineEnd = new Uint8Array([13, 10]);

/** CRC-16/ARC of the lines, each with CRLF behind it; and without the last one. */
function checksum(bytes: Uint8Array, from: number, to: number): [whole: number, withoutEnd: number] {
  let [crc, withoutEnd, start] = [0, 0, from];
  for (let at = from; at <= to; at++) {
    if (at < to && bytes[at] !== 13 && bytes[at] !== 10) continue;
    if (at > start) {
      withoutEnd = crcOver(crc, bytes, start, at);
      crc = crcOver(withoutEnd, lineEnd, 0, 2);
    }
    start = at + 1;
  }
  return [crc, withoutEnd];
}

function judge(bytes: Uint8Array, from: number, to: number, written: string): Dump["crc"] {
  if (from < 0 || to < 0 || !/^[0-9a-f]{1,4}$/i.test(written)) return { status: "absent" };
  const sent = parseInt(written, 16);
  const [computed, withoutEnd] = checksum(bytes, from, to);
  let status = sent === 0x2321 ? "placeholder" : "mismatch";
  if (sent === computed) status = "valid";
  else if (sent === ((computed & 0xff) << 8 | computed >> 8)) status = "valid_swapped";
  else if (sent === withoutEnd) status = "valid_no_final_crlf";
  return { status, sent, computed };
}

const counters = /^(VA|PA|CA|DA|LA|TA|DB)/;

/** The dumps of a file: lines, envelope, checksum. */
export function parse(bytes: Uint8Array): Dump[] {
  const text = latin1.decode(bytes);
  const dumps: Dump[] = [];
  let segments: Segment[] = [];
  let warnings: Warning[] = [];
  let [setAt, checksumAt, written] = [-1, -1, ""];
  const finish = () => {
    const has = (id: string) => segments.some((segment) => segment.id === id);
    const last = segments.at(-1);
    const isTruncated = !has("SE") && !has("DXE") &&
      (has("DXS") || has("ST") || !segments.some((segment) => counters.test(segment.id)));
    if (isTruncated) warnings.push({ line: last?.line ?? 1, oddity: "truncated", text: last?.raw ?? "" });
    if (isTruncated && last && !text.endsWith("\n")) last.e.pop();
    for (const id of ["DXS", "ST", "G85", "SE", "DXE"]) {
      const line = (id === "DXS" || id === "ST" ? segments[0] : last)?.line ?? 1;
      if (!has(id)) warnings.push({ line, oddity: "missing_envelope", text: id });
    }
    dumps.push({ segments, warnings, crc: judge(bytes, setAt, checksumAt, written), isTruncated });
    [segments, warnings, setAt, checksumAt, written] = [[], [], -1, -1, ""];
  };
  let [at, number] = [0, 0];
  for (let full of text.split(/\r\n|\n|\r/)) {
    number++;
    let start = at;
    at += full.length + (text[at + full.length] === "\r" && text[at + full.length + 1] === "\n" ? 2 : 1);
    if (/[^ -~]/.test(full)) warnings.push({ line: number, oddity: "not_printable", text: decode(full) });
    if (full.startsWith("<")) {
      const head = full.indexOf("DXS*");
      const wrapper = head < 0 ? full : full.slice(0, head);
      warnings.push({ line: number, oddity: "wrapper", text: wrapper.slice(0, 40) });
      if (head < 0) continue;
      start += head;
      full = full.slice(head);
    }
    const raw = full.trim();
    if (raw === "") continue;
    const e = raw.split("*");
    const id = e[0].trimEnd();
    if (id === "DXS" && segments.length > 0) finish();
    if (id === "ST" && setAt < 0) setAt = start;
    if (id === "G85" && checksumAt < 0) [checksumAt, written] = [start, e[1]];
    segments.push({ id, e, line: number, raw });
  }
  if (segments.length > 0 || dumps.length === 0) finish();
  return dumps;
}

/** Text with its `^XX^` escapes undone. */
function decode(element: string): string {
  if (element.includes("^")) {
    element = element.replace(/\^([0-9A-F]{2})\^/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  }
  return element.replaceAll("\0", "\uFFFD");
}

interface Amount {
  count?: number;
  value?: number;
}

interface Both<T> {
  since_init?: T;
  since_reset?: T;
}

// deno-lint-ignore no-explicit-any
type Fields = Record<string, any>;

/** What the elements of a dump mean. */
export function read(dump: Dump) {
  const { crc, isTruncated, segments } = dump;
  const warnings = [...dump.warnings];
  const identity: Fields = {};
  const currency: Fields = { decimals: 2 };
  const totals: Fields = {};
  const products: Fields[] = [];
  const coin_tubes: Fields[] = [];
  const events: Fields[] = [];
  const temperatures: Fields[] = [];
  const cards: Fields[] = [];
  const columns: Fields[] = [];
  const errors: string[] = [];
  let reads: Fields = {};
  let [vendor_clock, initialised_at, power_outages]: [string?, string?, Both<number>?] = [];

  for (const { id, e, line, raw } of segments) {
    const string = (place: number): string | undefined => {
      const element = e[place]?.trim();
      return element ? decode(element) : undefined;
    };
    const number = (place: number): number | undefined => {
      const element = e[place]?.trim();
      if (!element) return undefined;
      if (!/^[0-9]+$/.test(element)) {
        warnings.push({ line, oddity: "not_a_number", text: decode(element) });
        return undefined;
      }
      const value = Number(element);
      return value === 4294967295 ? undefined : value;
    };
    const both = (init: number, reset: number) => pair(number(init), number(reset));
    const amount = (count: number, value: number): Amount | undefined => {
      const amount = { count: number(count), value: number(value) };
      return amount.count === undefined && amount.value === undefined ? undefined : amount;
    };
    const amounts = (count: number, value: number, resetCount: number, resetValue: number) => {
      const [init, reset] = [amount(count, value), amount(resetCount, resetValue)];
      if ((reset?.count ?? 0) > (init?.count ?? Infinity)) {
        warnings.push({ line, oddity: "reset_exceeds_init", text: raw.slice(0, 40) });
      }
      return pair(init, reset);
    };
    const device = () => {
      const device = { serial: string(1), model: string(2), software: string(3) };
      return device.serial || device.model || device.software ? device : undefined;
    };
    const moment = (place: number): string | undefined => time(e[place]?.trim(), e[place + 1]?.trim());
    const product = products.at(-1) ?? {};
    switch (id) {
      case "DXS":
        identity.communication_id = string(1);
        identity.version = string(3);
        break;
      case "ID1":
        identity.serial = /[^0]/.test(string(1) ?? "") ? string(1) : undefined;
        [identity.model, identity.build, identity.location] = [string(2), string(3), string(4)];
        [identity.user_field, identity.asset] = [string(5), string(6)];
        break;
      case "ID4":
        currency.decimals = number(1) ?? 2;
        currency.numeric = string(2);
        currency.alpha = string(3);
        break;
      case "ID5":
        identity.clock = moment(1);
        break;
      case "CB1":
        identity.control_board = device();
        break;
      case "BA1":
        identity.bill_validator = device();
        break;
      case "CA1":
        identity.coin_mechanism = device();
        break;
      case "DA1":
        identity.cashless_1 = device();
        break;
      case "VA1":
        totals.vends = amounts(2, 1, 4, 3);
        totals.discounts = unlessZero(amounts(6, 5, 8, 7));
        totals.surcharges = unlessZero(amounts(9, 10, 11, 12));
        break;
      case "VA2":
        totals.test_vends = amounts(2, 1, 4, 3);
        break;
      case "VA3":
        totals.free_vends = amounts(2, 1, 4, 3);
        break;
      case "CA2":
        totals.cash_sales = amounts(2, 1, 4, 3);
        break;
      case "DA2":
        totals.cashless_1_sales = amounts(2, 1, 4, 3);
        break;
      case "TA2":
        totals.token_sales = amounts(2, 1, 4, 3);
        totals.value_token_sales = amounts(6, 5, 8, 7);
        break;
      case "CA3": {
        const cash = (total: number, box: number, tubes: number, bills: number, recycler: number) =>
          some({
            total: number(total),
            cash_box: number(box),
            tubes: number(tubes),
            bills: number(bills),
            recycler: number(recycler),
          });
        totals.cash_in = pair(cash(5, 6, 7, 10, 12), cash(1, 2, 3, 9, 11));
        break;
      }
      case "CA4": {
        const cash = (coins: number, manual: number, bills: number) =>
          some({
            dispensed: number(coins),
            manual: number(manual),
            bills_dispensed: number(bills),
            bills_manual: number(bills + 1),
            recycler_emptied: number(bills + 2),
          });
        totals.cash_out = pair(cash(3, 4, 8), cash(1, 2, 5));
        break;
      }
      case "CA7":
        totals.cash_discounts = unlessZero(amounts(4, 2, 3, 1));
        break;
      case "CA8":
        totals.overpay = both(2, 1);
        break;
      case "CA9":
        totals.exact_change_vends = both(2, 1);
        break;
      case "CA10":
        totals.cash_filled = both(2, 1);
        totals.bills_filled = both(4, 3);
        break;
      case "CA15":
        totals.tube_value ??= number(1);
        break;
      case "CA17":
        coin_tubes.push({
          coin: number(1),
          value: number(2),
          coins: number(3),
          inserted: number(4),
          dispensed: number(5),
          is_full: string(6) === "1" || undefined,
        });
        break;
      case "PA1":
        products.push({
          selection: string(1),
          price: number(2),
          name: string(3),
          capacity: number(4),
          standard_level: number(5),
          standard_quantity: number(6),
          is_missing: string(7) === "1" || undefined,
          level: number(8),
          minimum_level: number(9),
        });
        break;
      case "PA2":
        product.vends = amounts(1, 2, 3, 4);
        product.discounts = unlessZero(amounts(5, 6, 7, 8));
        product.surcharges = unlessZero(amounts(9, 10, 11, 12));
        break;
      case "PA3":
        product.test_vends = amounts(1, 2, 3, 4);
        break;
      case "PA4":
        product.free_vends = amounts(1, 2, 3, 4);
        break;
      case "PA7": {
        const owner = products.find((product) => product.selection === string(1));
        const [device, price_list] = [string(2) ?? "", string(3)];
        (owner!.payments ??= []).push({ device, price_list, price: number(4), vends: amounts(5, 6, 7, 8) });
        break;
      }
      case "EA1":
        if (string(1)) events.push({ code: string(1), at: moment(2), minutes: number(4) });
        break;
      case "EA2": {
        const is_active = string(5) === "1" || undefined;
        events.push({ code: string(1), count: both(3, 2), user: string(4), is_active, minutes: number(6) });
        if (is_active && !string(1)!.startsWith("O")) errors.push(string(1)!);
        break;
      }
      case "EA3":
        reads = {
          with_reset: number(1),
          this_read: moment(2),
          this_terminal: string(4),
          last_read: moment(5),
          last_terminal: string(7),
          all: number(9),
          resets: number(10),
        };
        break;
      case "EA4":
        initialised_at = moment(1);
        break;
      case "EA7":
        power_outages = both(2, 1);
        break;
      case "MA5":
        if (e[1] === "ERROR") errors.push(...e.slice(2).filter((code) => /[^0 ]/.test(code)));
        else if (e[1] === "TIME") vendor_clock = moment(3);
        else if (e[1] === "CARD") cards.push({ column: e[2], sales: { count: number(4), value: number(3) } });
        else if (/^SEL[0-9]/.test(e[1])) columns.push({ column: e[1], motors: string(2) });
        else if (e[1].includes("TEMP")) {
          const hundredths = Number(e[2]) * (e[1] === "TEMP" ? 10 : 1);
          temperatures.push({ name: e[1], hundredths, unit: string(3) });
        }
        break;
      case "SE": {
        const first = segments.findIndex((segment) => segment.id === "ST");
        const count = segments.findIndex((segment) => segment.id === "SE") - first + 1;
        if (first >= 0 && number(1) !== count) {
          warnings.push({ line, oddity: "segment_count", text: raw });
        }
        break;
      }
    }
  }
  if (products.every((product) => product.is_missing)) {
    for (const product of products) product.is_missing = undefined;
  }
  warnings.sort((a, b) => a.line - b.line);
  return {
    identity,
    currency,
    totals,
    products,
    coin_tubes,
    events,
    reads,
    initialised_at,
    power_outages,
    temperatures,
    vendor_clock,
    cards: cards.length > 0 ? cards : undefined,
    columns: columns.length > 0 ? columns : undefined,
    errors,
    crc,
    warnings,
    segments: segments.length,
    is_truncated: isTruncated || undefined,
  };
}

function some<T extends object>(fields: T): T | undefined {
  return Object.values(fields).some((value) => value !== undefined) ? fields : undefined;
}

function pair<T>(since_init: T | undefined, since_reset: T | undefined): Both<T> | undefined {
  return since_init === undefined && since_reset === undefined ? undefined : { since_init, since_reset };
}

function unlessZero(both: Both<Amount> | undefined): Both<Amount> | undefined {
  const { since_init, since_reset } = both ?? {};
  const isZero = !since_init?.count && !since_init?.value && !since_reset?.count && !since_reset?.value;
  return isZero ? undefined : both;
}

/** YYMMDD or YYYYMMDD, and HHMM or HHMMSS, as ISO 8601. */
function time(date = "", time = ""): string | undefined {
  const day = /^(\d{4}|\d{2})(\d{2})(\d{2})$/.exec(date);
  if (!day || /^0+$/.test(date)) return undefined;
  const iso = `${day[1].length === 2 ? "20" : ""}${day[1]}-${day[2]}-${day[3]}`;
  const clock = /^(\d{2})(\d{2})(\d{2})?$/.exec(time);
  return clock ? `${iso}T${clock[1]}:${clock[2]}${clock[3] ? `:${clock[3]}` : ""}` : iso;
}

/** The row that is stored of a capture, as JSON. */
export function prepare(bytes: Uint8Array): string {
  const dump = parse(bytes).at(-1)!;
  const parsed = read(dump);
  return JSON.stringify({
    raw_content: content(bytes),
    crc_status: parsed.crc.status,
    has_errors: parsed.crc.status === "mismatch" || dump.isTruncated || parsed.errors.length > 0,
    record_count: parsed.segments,
    parsed_data: parsed,
  });
}

function content(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return "";
  }
}
