// Compares what was measured with the limits.

type Status = "healthy" | "degraded" | "unhealthy";

interface Backlog {
  due: number;
  lag_seconds: number;
}

interface Job {
  name: string;
  schedule: string;
  active: boolean;
  last_seconds_ago?: number | null;
  failures_in_a_row: number;
  last_error?: string | null;
}

/** What `health_report` gives; what is not installed is not there. */
export interface Report {
  server?: {
    size_bytes: number;
    read_only: boolean;
    connections_used: number;
    connections_allowed: number;
  };
  queries?: { pid: number; role?: string; state: string; seconds: number }[];
  /** Null for those that can be read. */
  tables?: Record<string, string | null>;
  pg_cron?: { running: boolean; jobs: Job[] };
  pg_net?: { running: boolean; queued: number; answered_1h: number; failed_1h: number; last_error?: string };
  collector?: Backlog;
  tokens?: { active: number; expired: number; expiring: number };
  signals?: { pending: number; oldest_seconds: number };
  cache?: Backlog;
  errors?: Record<string, string>;
  took_ms: number;
}

/** Degraded above the first, unhealthy above the second. */
type Limit = [degraded: number, unhealthy: number];

export const LIMITS = {
  LATENCY_MS: [2_000, 5_000],
  SIZE_MB: [7_200, Infinity],
  CONNECTIONS_PERCENT: [80, 95],
  QUERY_SECONDS: [60, Infinity],
  JOB_FAILURES: [0, 2],
  JOB_INTERVALS: [3, Infinity],
  QUEUED_CALLS: [1_000, 10_000],
  FAILED_CALLS_PERCENT: [10, 50],
  COLLECTOR_SECONDS: [900, 3_600],
  EXPIRED_TOKENS_PERCENT: [0, 99],
  SIGNAL_SECONDS: [60, 600],
  CACHE_SECONDS: [900, 3_600],
} satisfies Record<string, Limit>;
const FEWEST_CALLS = 10;
const ORDER: Status[] = ["healthy", "degraded", "unhealthy"];

class Check {
  status: Status = "healthy";
  problems?: string[];

  add(status: Status, problem: string): void {
    if (ORDER.indexOf(status) > ORDER.indexOf(this.status)) this.status = status;
    (this.problems ??= []).push(problem);
  }

  compare([degraded, unhealthy]: number[], value: number, what: string): void {
    if (value > unhealthy) this.add("unhealthy", `${what}: ${value} (limit ${unhealthy})`);
    else if (value > degraded) this.add("degraded", `${what}: ${value} (limit ${degraded})`);
  }
}

export function worst(checks: Record<string, Check>): Status {
  const ranks = Object.values(checks).map((check) => ORDER.indexOf(check.status));
  return ORDER[Math.max(...ranks, 0)];
}

const percent = (part: number, whole: number) => Math.ceil(part * 100 / Math.max(whole, 1));

/** Every check of what is installed, by name. */
export function judge(report: Report, latencyMs: number): Record<string, Check> {
  const checks: Record<string, Check> = {};
  const check = (name: string): Check => checks[name] = new Check();
  const measuring = check("report");
  for (const [section, error] of Object.entries(report.errors ?? {})) {
    measuring.add("degraded", `${section} cannot be measured: ${error}`);
  }
  const { server, queries, tables, pg_cron, pg_net, tokens, signals } = report;
  const database = check("database");
  database.compare(LIMITS.LATENCY_MS, latencyMs, "milliseconds to answer");
  if (server) {
    if (server.read_only) {
      database.add("unhealthy", "it takes no writes: is its disk full, is it a standby?");
    }
    database.compare(LIMITS.SIZE_MB, Math.floor(server.size_bytes / 1_000_000), "size in MB");
    const [used, allowed] = [server.connections_used, server.connections_allowed];
    const what = `${used} of ${allowed} connections are used, in percent`;
    check("connections").compare(LIMITS.CONNECTIONS_PERCENT, percent(used, allowed), what);
  }
  if (queries) {
    const open = check("queries");
    for (const { pid, role = "", state, seconds } of queries) {
      open.compare(LIMITS.QUERY_SECONDS, seconds, `process ${pid} of ${role}, ${state}, seconds`);
    }
  }
  if (tables) {
    const readable = check("tables");
    for (const [table, problem] of Object.entries(tables)) {
      if (problem === null) continue;
      const status = problem.startsWith("55P03") ? "degraded" : "unhealthy";
      readable.add(status, `${table} cannot be read: ${problem}`);
    }
  }
  if (pg_cron) {
    const cron = check("pg_cron");
    if (!pg_cron.running) cron.add("unhealthy", "the scheduler is not running");
    for (const job of pg_cron.jobs.filter((job) => job.active)) {
      const { name, failures_in_a_row, last_error, last_seconds_ago: ago } = job;
      const what = `${name} failed in a row (${last_error ?? ""}), times`;
      cron.compare(LIMITS.JOB_FAILURES, failures_in_a_row, what);
      const every = interval(job.schedule);
      if (every && ago !== undefined && ago !== null) {
        const what = `${name} has not begun for ${ago} s, in intervals`;
        cron.compare(LIMITS.JOB_INTERVALS, Math.floor(ago / every), what);
      }
    }
  }
  if (pg_net) {
    const net = check("pg_net");
    if (!pg_net.running) net.add("unhealthy", "the worker is not running: select net.worker_restart()");
    net.compare(LIMITS.QUEUED_CALLS, pg_net.queued, "calls that wait");
    if (pg_net.answered_1h >= FEWEST_CALLS) {
      const last = pg_net.last_error ?? "";
      const what = `calls of the last hour that failed (the last one: ${last}), in percent`;
      net.compare(LIMITS.FAILED_CALLS_PERCENT, percent(pg_net.failed_1h, pg_net.answered_1h), what);
    }
  }
  const backlog = (name: string, of: Backlog | undefined, limit: number[], what: string) => {
    if (!of) return;
    check(name).compare(limit, of.lag_seconds, `${of.due} ${what} are due, the longest for seconds`);
  };
  backlog("collector", report.collector, LIMITS.COLLECTOR_SECONDS, "companies");
  if (tokens) {
    const { active, expired, expiring } = tokens;
    const what = `of ${active} active tokens ${expired} have expired and ${expiring} soon will, in percent`;
    check("tokens").compare(LIMITS.EXPIRED_TOKENS_PERCENT, percent(expired + expiring, active), what);
  }
  if (signals) {
    const what = `${signals.pending} signals are pending, the oldest for seconds`;
    check("signals").compare(LIMITS.SIGNAL_SECONDS, signals.oldest_seconds, what);
  }
  backlog("cache", report.cache, LIMITS.CACHE_SECONDS, "sources");
  return checks;
}

/** Seconds between two runs, for simple schedules. */
function interval(schedule: string): number | undefined {
  const [, count] = /^(\d+) seconds?$/.exec(schedule) ?? [];
  if (count) return Number(count);
  if (schedule === "* * * * *") return 60;
  const [, step] = /^\*\/(\d+) \* \* \* \*$/.exec(schedule) ?? [];
  if (step) return Number(step) * 60;
  if (/^\d+ \* \* \* \*$/.test(schedule)) return 3_600;
  if (/^\d+ \d+ \* \* \*$/.test(schedule)) return 86_400;
  return undefined;
}
