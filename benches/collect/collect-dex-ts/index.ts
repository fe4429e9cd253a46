// The collector in TypeScript, with supabase-js, to be measured beside `collect-dex`: the same runs, leases,
// batches and rows, by the same functions of the database, one client for all requests.
//
// It leaves out what costs little or nothing when all is well: the guard of outbound addresses, keys
// compared in constant time, sites behind SITE_URL, pauses, what spares a site that refuses all or lists
// without end, a second try of captures that the database refuses, logs, and what benches/dex/parser.ts does not know of real machines.

import { type Claim, collect, type Collected } from "./company.ts";
import { Budget, call, lastRuns } from "./store.ts";

interface Result extends Partial<Collected> {
  company_id: string;
  company_name: string;
  success: boolean;
  error?: string;
  skipped?: string;
}

const SERVICE = Deno.env.get("SERVICE_API_KEY");
const CONCURRENCY = Number(Deno.env.get("COLLECT_CONCURRENCY") ?? 25);
const LEASE_SECONDS = 150;

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void };

Deno.serve(async (request) => {
  if (request.headers.get("x-service-key") !== SERVICE) return new Response(null, { status: 401 });
  if (request.method === "GET") return Response.json({ success: true, runs: await lastRuns() });
  const { triggered_by } = await request.json();
  const id = crypto.randomUUID();
  EdgeRuntime.waitUntil(run(id, triggered_by === "cron" ? "cron" : "manual"));
  return Response.json({ success: true, run_id: id }, { status: 202 });
});

async function run(id: string, trigger: string): Promise<void> {
  const results: Result[] = [];
  let failure: string | undefined;
  try {
    await collectDue(id, trigger, results);
  } catch (error) {
    failure = String(error);
  }
  const tried = results.filter((one) => one.skipped === undefined);
  const summary = {
    success: failure === undefined,
    run_id: id,
    companiesProcessed: tried.length,
    successfulCollections: tried.filter((one) => one.success).length,
    totalRecords: tried.reduce((sum, one) => sum + (one.recordsCollected ?? 0), 0),
    results,
  };
  const p_status = failure === undefined ? "succeeded" : "failed";
  await call("collect_dex_end", { p_run_id: id, p_status, p_summary: summary, p_error: failure });
}

/** Keeps up to `CONCURRENCY` companies under way until none is due or the budget is spent. */
async function collectDue(id: string, trigger: string, results: Result[]): Promise<void> {
  const budget = new Budget();
  const underWay = new Set<Promise<void>>();
  const ahead: Claim[] = [];
  let [moreDue, claiming] = [true, false];
  const begin = (work: Promise<void>) => {
    const begun: Promise<void> = work.then(() => {
      underWay.delete(begun);
    });
    underWay.add(begun);
  };
  const claim = async (count: number) => {
    budget.spend();
    const claims = await call<Claim[]>("collect_dex_claim", {
      p_run_id: id,
      p_triggered_by: trigger,
      p_limit: count,
      p_lease_seconds: LEASE_SECONDS,
    });
    moreDue = claims.length === count;
    claiming = false;
    ahead.push(...claims);
  };
  for (;;) {
    if (budget.mayBegin()) {
      const free = CONCURRENCY + (claiming ? 1 : 0) - underWay.size;
      for (const one of ahead.splice(0, free)) {
        begin(
          collectCompany(id, budget, one).then((result) => {
            results.push(result);
          }),
        );
      }
      if (moreDue && !claiming && ahead.length * 4 <= CONCURRENCY) {
        claiming = true;
        begin(claim(underWay.size === 0 ? CONCURRENCY : Math.ceil(CONCURRENCY / 2)));
      }
    }
    if (underWay.size === 0) return;
    await Promise.race(underWay);
  }
}

/** Collects one company and notes how it went. */
async function collectCompany(id: string, budget: Budget, claim: Claim): Promise<Result> {
  const { company_id, company_name, skip_reason } = claim;
  if (skip_reason) return { company_id, company_name, success: false, skipped: skip_reason };
  const finish = { p_run_id: id, p_company_id: company_id };
  try {
    const collected = await collect(budget, claim);
    budget.spend();
    if (collected === undefined) {
      await call("collect_dex_release", { p_run_id: id, p_company_ids: [company_id] });
      return { company_id, company_name, success: true };
    }
    const { failedFrom: p_failed_from, ...counted } = collected;
    const p_records = counted.recordsCollected;
    const p_login = claim.username_encrypted;
    await call("collect_dex_finish", { ...finish, p_success: true, p_records, p_failed_from, p_login });
    return { company_id, company_name, success: true, ...counted };
  } catch (error) {
    const p_error = error instanceof Error ? error.message : JSON.stringify(error);
    await call("collect_dex_finish", { ...finish, p_success: false, p_records: 0, p_error });
    return { company_id, company_name, success: false, error: p_error };
  }
}
