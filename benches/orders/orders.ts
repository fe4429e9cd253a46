// Times order-engine natively and as wasm, and the same decisions in TypeScript with decimal.js, in one
// process, in turns. `scripts/bench orders` builds what it needs.

import { Decimal } from "decimal.js";
import { type Case, decimals, read } from "./case.ts";
import { decide, type Decision } from "./decide.ts";
import { cases } from "./generate.ts";

const USAGE =
  `Usage: deno run --allow-read --allow-ffi benches/orders/orders.ts NATIVE WASM [--rounds N]   prints a section as JSON`;

const METHOD =
  "Generated alerts and situations through `crates/order-engine`, natively and as wasm (compiled for size, as in the " +
  "functions), and through the same rules in TypeScript with decimal.js (`benches/orders/decide.ts`). Before anything is " +
  "timed, all three must decide alike: the same orders to the last digit, the same codes, the same words but for how " +
  "they write a number. *Decide* begins with what was read; *JSON in and out* reads an alert with its situation and " +
  "writes the decision. In turns in one process; ratios are round by round.";

/** How many times JavaScript's speed is aimed at. */
const FASTER = 3;

const CASES = 10_000;
/** Each stage is timed so often. */
const ROUNDS = 15;

interface Engine {
  /** Reads an array of cases; gives their number. */
  load(json: Uint8Array): number;
  /** Decides them all. */
  decideAll(): number;
  /** A case as JSON in, the decision as JSON out. */
  decideOne(json: Uint8Array): Uint8Array;
}

async function wasm(path: string): Promise<Engine> {
  const { instance } = await WebAssembly.instantiate(await Deno.readFile(path));
  // deno-lint-ignore no-explicit-any
  const exports = instance.exports as any;
  const put = (json: Uint8Array) => {
    const at = exports.input(json.length);
    new Uint8Array(exports.memory.buffer, at, json.length).set(json);
    return json.length;
  };
  return {
    load: (json) => exports.load(put(json)),
    decideAll: () => exports.decide_all(),
    decideOne(json) {
      const length = exports.decide_one(put(json));
      return new Uint8Array(exports.memory.buffer, exports.output(), length)
        .slice();
    },
  };
}

function native(path: string, most: number): Engine {
  const { symbols } = Deno.dlopen(
    path,
    {
      input: { parameters: ["usize"], result: "pointer" },
      output: { parameters: [], result: "pointer" },
      load: { parameters: ["usize"], result: "usize" },
      decide_all: { parameters: [], result: "usize" },
      decide_one: { parameters: ["usize"], result: "usize" },
    } as const,
  );
  const bytes = (at: Deno.PointerValue, length: number) =>
    at === null ? new Uint8Array() : new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(at, length));
  // Asked for once: the memory moves only when it is too small.
  const input = bytes(symbols.input(BigInt(most)), most);
  const put = (json: Uint8Array) => {
    input.set(json);
    return BigInt(json.length);
  };
  return {
    load: (json) => Number(symbols.load(put(json))),
    decideAll: () => Number(symbols.decide_all()),
    decideOne: (json) => {
      const length = Number(symbols.decide_one(put(json)));
      return bytes(symbols.output(), length).slice();
    },
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a decision says, however its numbers are written: in words they may have zeros at the end or, of a
 * division, another last digit. */
function meaning(decision: Decision): string {
  const plain = JSON.stringify(decision, (_, value) => {
    if (typeof value !== "string") return inOrder(value);
    if (/^-?\d+(\.\d+)?$/.test(value)) return new Decimal(value).toFixed();
    return value.replace(/\d+(\.\d+)?/g, "#");
  });
  return plain;
}

/** An object with its keys in order: who writes them in which order does not matter. */
function inOrder(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).sort());
}

const parsed = (bytes: Uint8Array): Decision => JSON.parse(decoder.decode(bytes));
const plainOne = (json: Uint8Array): Uint8Array =>
  encoder.encode(JSON.stringify(decide(read(decoder.decode(json)))));

/** All three decide alike before their times mean anything. Gives how many orders and refusals there are. */
function checkEqual(
  engines: Engine[],
  all: Uint8Array[],
): [orders: number, codes: number] {
  let orders = 0;
  const codes = new Set<string>();
  for (const json of all) {
    const decision = parsed(plainOne(json));
    if ("place" in decision.outcome) orders += 1;
    else for (const { code } of decision.outcome.refuse) codes.add(code);
    const expected = meaning(decision);
    for (const engine of engines) {
      const got = meaning(parsed(engine.decideOne(json)));
      if (got !== expected) {
        throw new Error(
          `decisions differ\n  ${decoder.decode(json)}\n  ${got}\n  ${expected}`,
        );
      }
    }
  }
  return [orders, codes.size];
}

/** The milliseconds of each, round by round in turns. */
function time(works: (() => number)[], rounds: number): number[][] {
  const took: number[][] = works.map(() => []);
  let sum = 0;
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    works.forEach((work, which) => {
      const start = performance.now();
      sum += work();
      if (round > 0) took[which].push(performance.now() - start);
    });
  }
  if (sum === 0) throw new Error("nothing was done");
  return took;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** The median with the lowest and the highest, as the page shows it. */
function cell(values: number[], digits: number) {
  const spread = [Math.min(...values), Math.max(...values)];
  return { value: median(values), digits, spread };
}

/** What each stage is, by each of the three. The sum of what it gives is used, so that nothing is optimised
 * away. */
function stages(
  engines: Engine[],
  made: unknown[],
  each: Uint8Array[],
): Record<string, (() => number)[]> {
  const objects = made.map((one) => decimals(one as Case));
  const count = (one: Case) => {
    const { outcome } = decide(one);
    return "place" in outcome ? 1 : outcome.refuse.length;
  };
  const all = (decideOne: (json: Uint8Array) => Uint8Array) => () =>
    each.reduce((sum, json) => sum + decideOne(json).length, 0);
  return {
    "decide": [
      ...engines.map((engine) => () => engine.decideAll()),
      () => objects.reduce((sum, one) => sum + count(one), 0),
    ],
    "JSON in and out": [
      ...engines.map((engine) => all((json) => engine.decideOne(json))),
      all(plainOne),
    ],
  };
}

function section(
  works: ReturnType<typeof stages>,
  rounds: number,
  facts: [string, string][],
) {
  const rows: unknown[] = [];
  const targets: unknown[] = [];
  for (const [stage, work] of Object.entries(works)) {
    const all = time(work, rounds);
    const against = (which: number, other: number) => all[which].map((ms, round) => all[other][round] / ms);
    ["native", "wasm", "JavaScript"].forEach((who, which) => {
      const each = { value: CASES / median(all[which]) * 1_000, digits: 0 };
      const ratios = [cell(against(which, 0), 2), cell(against(which, 2), 1)];
      rows.push([
        which === 0 ? stage : "",
        who,
        cell(all[which], 1),
        each,
        ...ratios,
      ]);
    });
    const what = `orders, ${stage}: wasm against JavaScript`;
    targets.push({
      what,
      asked: { at_least: FASTER },
      measured: median(against(1, 2)),
      unit: "×",
    });
  }
  const columns = [
    "stage",
    "in",
    "ms",
    "decisions/s",
    "of native's speed",
    "of JavaScript's speed",
  ];
  return {
    title: "Deciding orders",
    method: METHOD,
    facts,
    tables: [{ columns, rows }],
    targets,
  };
}

const [nativePath, wasmPath, flag, wanted] = Deno.args;
if (!wasmPath || (flag && flag !== "--rounds")) {
  console.error(USAGE);
  Deno.exit(2);
}
const made = cases(CASES);
const whole = encoder.encode(JSON.stringify(made));
const each = made.map((one) => encoder.encode(JSON.stringify(one)));
const engines = [native(nativePath, whole.length), await wasm(wasmPath)];
const [orders, codes] = checkEqual(engines, each);
for (const engine of engines) {
  if (engine.load(whole) !== CASES) throw new Error("not all were read");
}
const rounds = Number(wanted ?? ROUNDS);
const facts: [string, string][] = [
  ["alerts", `${CASES}`],
  ["orders among the decisions", `${orders}`],
  ["kinds of refusal", `${codes}`],
  ["rounds", `${rounds}`],
];
console.log(
  JSON.stringify([section(stages(engines, made, each), rounds, facts)]),
);
