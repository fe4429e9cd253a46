// Sends many requests to one process and shows whether its memory and latency stay flat.

const USAGE = `Usage: deno run -A benches/soak.ts --pid PID [--requests N] [--concurrency N] URL [HEADER…]

  --pid PID          the process whose memory is read from /proc
  --requests N       how many (50000)
  --concurrency N    how many at once (16)
  HEADER             e.g. "X-Service-Key: …"; a body of {} is sent to URLs that end in /echo

Prints a row each tenth of the way and exits 1 when a request fails or memory grows by over 10 % in
the second half. In the first half the runtime's own heap finds its size.`;

interface Plan {
  pid: number;
  requests: number;
  concurrency: number;
  url: string;
  headers: [string, string][];
}

function plan(args: string[]): Plan {
  const rest: string[] = [];
  const numbers: Record<string, number> = { pid: 0, requests: 50_000, concurrency: 16 };
  for (let at = 0; at < args.length; at++) {
    const name = args[at].replace(/^--/, "");
    if (args[at].startsWith("--") && name in numbers) numbers[name] = Number(args[++at]);
    else rest.push(args[at]);
  }
  const [url, ...lines] = rest;
  if (url === undefined || !(numbers.pid > 0)) {
    console.error(USAGE);
    Deno.exit(2);
  }
  const headers = lines.map((line) => line.split(/:\s*/, 2) as [string, string]);
  return { url, headers, pid: numbers.pid, requests: numbers.requests, concurrency: numbers.concurrency };
}

/** Resident memory of a process in MB. */
function resident(pid: number): number {
  const line = Deno.readTextFileSync(`/proc/${pid}/status`).match(/^VmRSS:\s+(\d+) kB$/m);
  return line === null ? NaN : Number(line[1]) / 1024;
}

function quantile(sorted: Float64Array, share: number): string {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(2);
}

async function tenth(plan: Plan, count: number): Promise<{ times: Float64Array; failed: number }> {
  const echo = plan.url.endsWith("/echo");
  const init = echo ? { method: "POST", body: "{}", headers: plan.headers } : { headers: plan.headers };
  const times = new Float64Array(count);
  let [next, failed] = [0, 0];
  const sender = async () => {
    while (next < count) {
      const number = next++;
      const started = performance.now();
      const reply = await fetch(plan.url, init);
      await reply.arrayBuffer();
      times[number] = performance.now() - started;
      if (!reply.ok) failed += 1;
    }
  };
  await Promise.all(Array.from({ length: plan.concurrency }, sender));
  return { times: times.sort(), failed };
}

const asked = plan(Deno.args);
const memory: number[] = [];
let failures = 0;
console.log(`${asked.requests} requests, ${asked.concurrency} at once: ${asked.url}`);
console.log("| requests | per second | p50 ms | p99 ms | max ms | resident MB | failed |");
console.log("|---:|---:|---:|---:|---:|---:|---:|");
for (let part = 1; part <= 10; part++) {
  const count = Math.ceil(asked.requests / 10);
  const started = performance.now();
  const { times, failed } = await tenth(asked, count);
  const perSecond = Math.round(count / (performance.now() - started) * 1_000);
  memory.push(resident(asked.pid));
  failures += failed;
  const latency = [0.5, 0.99, 1].map((share) => quantile(times, share)).join(" | ");
  console.log(`| ${count * part} | ${perSecond} | ${latency} | ${memory.at(-1)?.toFixed(1)} | ${failed} |`);
}
const growth = memory[9] / memory[4] - 1;
console.log(`memory in the second half: ${(growth * 100).toFixed(1)} %`);
if (failures > 0 || !(growth < 0.1)) Deno.exit(1);
