//! One run: claim what is due, collect it side by side, report.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use dex_collector::{Batch, Budget, Claim, Collected, Trigger, company, store};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ironferry::{Context, Request, Response, Result};
use serde::Deserialize;
use serde_json::json;

use crate::remote;
use crate::summary::{CompanyResult, Summary};

/// Companies collected at once: `COLLECT_CONCURRENCY`. They wait on their sites, not on the CPU; up to
/// 8 calls of a tick may share the memory of one worker.
const CONCURRENCY: usize = 25;

/// The body that pg_cron sends.
#[derive(Default, Deserialize)]
struct Tick {
    #[serde(default)]
    triggered_by: Option<String>,
}

/// Replies 202 with a run id at once and works on; with `?wait=true`, replies with the summary.
pub(crate) async fn start(request: &Request, cx: &Context) -> Result<Response> {
    let wait = request.query_or("wait", false)?;
    let tick: Tick = if request.body().is_empty() { Tick::default() } else { request.json()? };
    let trigger = if tick.triggered_by.as_deref() == Some("cron") { Trigger::Cron } else { Trigger::Manual };
    let run = Rc::new(Run {
        id: cx.uuid(),
        trigger,
        concurrency: cx.setting("COLLECT_CONCURRENCY", CONCURRENCY)?.max(1),
        budget: Rc::new(Budget::new(cx)?),
        has_unfinished: Cell::new(false),
        cx: cx.clone(),
    });
    if wait {
        return Response::json(200, &run.collect().await?);
    }
    let accepted = Response::json(202, &json!({ "success": true, "run_id": run.id }))?;
    cx.wait_until(async move {
        // A failure is logged and, where the database answers, in the ledger.
        let _ = run.collect().await;
    });
    Ok(accepted)
}

struct Run {
    id: String,
    trigger: Trigger,
    concurrency: usize,
    budget: Rc<Budget>,
    /// Whether a company was given back unfinished.
    has_unfinished: Cell<bool>,
    cx: Context,
}

/// What a run waits for.
enum Event {
    Claimed(Result<Vec<Claim>>),
    Collected(CompanyResult),
}

impl Run {
    async fn collect(self: Rc<Self>) -> Result<Summary> {
        let started = self.cx.now();
        let mut summary = Summary { run_id: self.id.clone(), ..Summary::default() };
        let outcome = self.collect_due(&mut summary).await;
        summary.success = outcome.is_ok();
        self.report(&summary, outcome.as_ref().err(), (self.cx.now() - started).whole_milliseconds()).await;
        outcome.map(|()| summary)
    }

    /// Keeps up to `concurrency` companies under way until none is due or the budget is spent. The next ones
    /// are claimed meanwhile, so that one that ends makes room for another at once.
    async fn collect_due(self: &Rc<Self>, summary: &mut Summary) -> Result<()> {
        if self.budget.is_cpu_spent() {
            // Claims nothing: the row in the ledger says why this tick did nothing.
            summary.budget_spent = true;
            return self.claim(0).await.map(drop);
        }
        let mut under_way: FuturesUnordered<LocalBoxFuture<'_, Event>> = FuturesUnordered::new();
        let mut ahead = VecDeque::new();
        let mut asked = None;
        let mut more_due = true;
        let mut failure = None;
        loop {
            if failure.is_none() && self.budget.may_begin(&self.cx) {
                let free = self.concurrency + usize::from(asked.is_some()) - under_way.len();
                for claim in ahead.drain(..free.min(ahead.len())) {
                    under_way.push(self.collect_company(claim).map(Event::Collected).boxed_local());
                }
                // Half of them at a time: a claim for each single company would double the round trips.
                if more_due && asked.is_none() && ahead.len() * 4 <= self.concurrency {
                    let some =
                        if under_way.is_empty() { self.concurrency } else { self.concurrency.div_ceil(2) };
                    asked = Some(some);
                    under_way.push(self.claim(some).map(Event::Claimed).boxed_local());
                }
            }
            match under_way.next().await {
                Some(Event::Collected(result)) => summary.add(result),
                Some(Event::Claimed(Ok(claims))) => {
                    more_due = asked.take() == Some(claims.len());
                    for claim in claims {
                        match &claim.skip_reason {
                            Some(reason) => summary.add(CompanyResult::skipped(&claim, reason)),
                            None => ahead.push_back(claim),
                        }
                    }
                }
                // What is under way is finished before the run fails.
                Some(Event::Claimed(Err(error))) => {
                    asked = None;
                    failure = Some(error);
                }
                // What was claimed and not begun is given back by the end of the run.
                None => {
                    let is_left = more_due || !ahead.is_empty() || self.has_unfinished.get();
                    summary.budget_spent = is_left && self.budget.is_cpu_spent();
                    return failure.map_or(Ok(()), Err);
                }
            }
        }
    }

    async fn claim(&self, count: usize) -> Result<Vec<Claim>> {
        self.budget.spend();
        store::claim(&self.cx, &self.id, self.trigger, count).await
    }

    /// Collects one company and notes how it went. Never fails: what goes wrong is its result.
    async fn collect_company(self: &Rc<Self>, claim: Claim) -> CompanyResult {
        // Files come from outside: one that the parser cannot bear costs its own company only.
        let (run, of) = (self.clone(), claim.clone());
        let outcome = self.cx.isolated(async move { run.fetch(&of).await }).await.flatten();
        let result = match &outcome {
            Ok(collected) => {
                self.has_unfinished.set(self.has_unfinished.get() || !collected.is_whole);
                CompanyResult::collected(&claim, collected.clone())
            }
            Err(error) => CompanyResult::failed(&claim, error),
        };
        self.budget.spend();
        let noted = store::finish(&self.cx, &self.id, &claim, &outcome).await;
        let mut fields = json!({
            "run": self.id,
            "company": claim.company_id,
            "records": result.records_collected,
            "failed": result.errors.len(),
        });
        if let Err(error) = &outcome {
            fields["code"] = error.as_code().into();
            fields["error"] = error.chain().into();
        }
        match noted {
            Ok(true) => {}
            Ok(false) => fields["lease"] = "lost".into(),
            // The lease ends by itself; the company is collected again, and nothing is stored twice.
            Err(error) => fields["not_noted"] = error.chain().into(),
        }
        if outcome.is_ok() && fields.get("not_noted").is_none() {
            self.cx.log(ironferry::Level::Debug, "collect_dex.company", fields);
        } else {
            self.cx.warn("collect_dex.company_failed", fields);
        }
        result
    }

    async fn fetch(&self, claim: &Claim) -> Result<Collected> {
        match self.cx.secret("SITE_URL") {
            Some(site) => remote::collect(&self.cx, &self.budget, site.expose(), &self.id, claim).await,
            None => company::collect(&self.cx, &self.budget, claim, Batch::default()).await,
        }
    }

    async fn report(&self, summary: &Summary, failure: Option<&ironferry::Error>, ms: i128) {
        let fields = json!({
            "run": self.id,
            "companies": summary.companies_processed,
            "succeeded": summary.successful_collections,
            "records": summary.total_records,
            "skipped": summary.results.len() - summary.companies_processed,
            "budget_spent": summary.budget_spent,
            "worker_cpu_ms": self.budget.cpu_ms(),
            "ms": ms,
            "error": failure.map(ironferry::Error::chain),
        });
        let ended = store::end(&self.cx, &self.id, summary, failure, summary.budget_spent).await;
        self.cx.info("collect_dex.done", fields);
        if let Err(error) = ended {
            self.cx.warn("collect_dex.not_noted", json!({ "run": self.id, "error": error.chain() }));
        }
    }
}
