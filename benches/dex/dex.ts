// Times eva-dts natively and as wasm, and a plain JavaScript parser, over the same captures in one
// process, in turns. `scripts/bench dex` builds what it needs.

import { type Engine, native, wasm } from "./engine.ts";
import * as plain from "./parser.ts";

const USAGE =
  `Usage: deno run --allow-read --allow-ffi benches/dex/dex.ts NATIVE WASM [--rounds N]   prints a section as JSON`;

const METHOD =
  "Captures made of those in `tests/captures`, read in one process by the same source natively and as wasm " +
  "(compiled as in the functions), and by a plain parser in TypeScript (`benches/dex/parser.ts`). Before " +
  "anything is timed, all three must give equal rows. In turns; ratios are round by round. Bytes go in and, of the last " +
  "stage, bytes of JSON come out. *Parse + CRC* is lines, envelope and verdict on the checksum; *interpret* is that and " +
  "every element by its meaning; *row as JSON* is that and the row that the collectors store. No DEX parser was found " +
  "on npm to compare with.";

/** As many captures as a company with 500 machines sends at once, of the size that real ones have. */
const CAPTURES = 500;
const BYTES = 3_000;
/** Each stage is timed so often. */
const ROUNDS = 15;

const encoder = new TextEncoder();

/** The captures that ship with the project. */
function shipped(): [string, Uint8Array][] {
  const folder = new URL("../../tests/captures/", import.meta.url);
  const names = [...Deno.readDirSync(folder)].map((entry) => entry.name).filter((name) =>
    name.endsWith(".dex")
  );
  return names.sort().map((name) => [name, Deno.readFileSync(new URL(name, folder))]);
}

/** Captures of 3 kB: sound ones that ship, with their products over again under new selections. */
function fleet(): Uint8Array[] {
  const whole = shipped().map(([, file]) => new TextDecoder("latin1").decode(file)).filter((file) =>
    file.includes("\r\n") && file.split("DXS*").length === 2 && file.includes("\r\nDXE*") &&
    /^[ -~\r\n]*$/.test(file)
  );
  return Array.from({ length: CAPTURES }, (_, machine) => {
    const lines = whole[machine % whole.length].split("\r\n");
    const from = lines.findIndex((line) => line.startsWith("PA1*"));
    const products = lines.slice(from).filter((line) => /^PA[1-7]\*/.test(line));
    const end = lines.findLastIndex((line) => /^PA[1-7]\*/.test(line)) + 1;
    const missing = BYTES - lines.join("\r\n").length;
    let [added, number]: [string[], number] = [[], 0];
    while (added.join("\r\n").length < missing) {
      const round = 100 * (1 + Math.floor(number / products.length));
      const line = products[number++ % products.length];
      added = [...added, line.replace(/^(PA[17]\*)(\d+)/, (_, id, name) => `${id}${Number(name) + round}`)];
    }
    lines.splice(end, 0, ...added);
    return sealed(lines.map((line) => line.replaceAll(/(SIM\d{7})/g, `SIM${machine}`)));
  });
}

/** Lines with the count and the checksum that they ought to have. */
function sealed(lines: string[]): Uint8Array {
  const at = (id: string) => lines.findIndex((line) => line.startsWith(id));
  lines[at("SE*")] = `SE*${at("SE*") - at("ST*") + 1}*0001`;
  const file = (checksum: string) => {
    lines[at("G85*")] = `G85*${checksum}`;
    return encoder.encode(lines.join("\r\n"));
  };
  const { computed } = plain.parse(file("0000"))[0].crc;
  return file((computed ?? 0).toString(16).padStart(4, "0"));
}

/** An object with its keys in order: who writes them in which order does not matter. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort().map(([key, value]) => [key, inOrder(value)]));
}

/** All three must give the same rows before their times mean anything. */
function checkEqual(engines: Engine[], captures: [string, Uint8Array][]) {
  for (const [name, capture] of captures) {
    const expected = JSON.stringify(inOrder(JSON.parse(plain.prepare(capture))));
    for (const engine of engines) {
      const row = new TextDecoder().decode(engine.output(engine.run("prepare", capture)));
      const got = JSON.stringify(inOrder(JSON.parse(row)));
      if (got === expected) continue;
      const at = [...got].findIndex((char, place) => char !== expected[place]);
      throw new Error(
        `${name}: rows differ\n  ${got.slice(at - 100, at + 100)}\n  ${expected.slice(at - 100, at + 100)}`,
      );
    }
  }
}

type Work = (capture: Uint8Array) => number;

/** What is done to a capture, by each of the three. The sum of what it gives is used, so that nothing is
 * optimised away. */
function stages(one: Engine, other: Engine): Record<string, [native: Work, wasm: Work, plain: Work]> {
  const run = (
    stage: "check" | "interpret",
  ): [Work, Work] => [(it) => one.run(stage, it), (it) => other.run(stage, it)];
  const rows: [Work, Work] = [
    (it) => one.output(one.run("prepare", it)).length,
    (it) => other.output(other.run("prepare", it)).length,
  ];
  return {
    "parse + CRC": [...run("check"), (it) => plain.parse(it).length],
    "interpret": [...run("interpret"), (it) => plain.read(plain.parse(it).at(-1)!).segments],
    "row as JSON": [...rows, (it) => encoder.encode(plain.prepare(it)).length],
  };
}

/** The milliseconds of each over all captures, a list of rounds each, in turns. */
function time(works: Work[], captures: Uint8Array[], rounds: number): number[][] {
  const times: number[][] = works.map(() => []);
  let sum = 0;
  // The first warms up.
  for (let round = rounds > 1 ? 0 : 1; round <= rounds; round++) {
    works.forEach((work, which) => {
      const start = performance.now();
      for (const capture of captures) sum += work(capture);
      if (round > 0) times[which].push(performance.now() - start);
    });
  }
  if (sum === 0) throw new Error("nothing was done");
  return times;
}

function cell(rounds: number[], digits: number) {
  return { value: median(rounds), digits, spread: [Math.min(...rounds), Math.max(...rounds)] };
}

function median(rounds: number[]): number {
  const sorted = rounds.toSorted((one, other) => one - other);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const WHO = ["native", "wasm", "JavaScript"];
/** How much of JavaScript's time wasm may take at most, of native's speed it has at least. */
const FASTER = 3;
const OF_NATIVE = 0.4;

/** What `tests/src/report` calls a section. */
function section(captures: Uint8Array[], works: ReturnType<typeof stages>, rounds: number, cold: number) {
  const bytes = captures.reduce((sum, capture) => sum + capture.length, 0);
  const rows: unknown[] = [];
  const targets: unknown[] = [];
  for (const [stage, work] of Object.entries(works)) {
    const all = time(work, captures, rounds);
    const against = (which: number, other: number) => all[which].map((ms, round) => all[other][round] / ms);
    WHO.forEach((who, which) => {
      const ms = median(all[which]);
      const speed = { value: bytes / ms / 1_000, digits: 0 };
      const each = { value: captures.length / ms * 1_000, digits: 0 };
      rows.push([
        which === 0 ? stage : "",
        who,
        cell(all[which], 1),
        speed,
        each,
        cell(against(which, 0), 2),
        cell(against(which, 2), 1),
      ]);
    });
    const target = (what: string, least: number, measured: number) =>
      targets.push({ what: `DEX, ${stage}: ${what}`, asked: { at_least: least }, measured, unit: "×" });
    target("wasm against JavaScript", FASTER, median(against(1, 2)));
    target("wasm against native", OF_NATIVE, median(against(1, 0)));
  }
  const columns = ["stage", "in", "ms", "MB/s", "captures/s", "of native's speed", "of JavaScript's speed"];
  return {
    title: "Reading DEX captures",
    method: METHOD,
    facts: [["captures", `${captures.length}`], ["bytes each", `${BYTES}`], ["rounds", `${rounds}`]],
    tables: [
      { columns, rows },
      {
        columns: ["a fresh wasm instance", "ms"],
        rows: [[`its first ${captures.length} rows`, { value: cold, digits: 0 }]],
      },
    ],
    targets,
  };
}

/** A fresh instance reads its first captures before the compiler has got to its code. */
async function firstMilliseconds(path: string, captures: Uint8Array[]): Promise<number> {
  const engine = await wasm(path);
  return time([(capture) => engine.output(engine.run("prepare", capture)).length], captures, 1)[0][0];
}

const [nativePath, wasmPath, flag, rounds] = Deno.args;
if (!wasmPath || (flag && flag !== "--rounds")) {
  console.error(USAGE);
  Deno.exit(2);
}
const captures = fleet();
const cold = await firstMilliseconds(wasmPath, captures);
const [one, other] = [native(nativePath), await wasm(wasmPath)];
checkEqual([one, other], [
  ...shipped(),
  ...captures.map((file, number): [string, Uint8Array] => [`${number}`, file]),
]);
console.log(JSON.stringify([section(captures, stages(one, other), Number(rounds ?? ROUNDS), cold)]));
