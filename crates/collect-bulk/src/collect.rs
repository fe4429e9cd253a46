//! Collects the caller's company, now, whether it is due or not.

use dex_collector::company::CaptureError;
use dex_collector::store::Wish;
use dex_collector::{Batch, Budget, Claim, Collected, Trigger, company, store};
use ironferry::{Context, Error, Request, Response, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::caller::{Caller, is_uuid};

/// New captures a call when the caller names no limit, and at the most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;

/// What a collection answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Always true: a failure has an error reply.
    pub success: bool,
    /// New captures stored.
    pub records_count: usize,
    /// Machines they came from.
    pub machines_updated: usize,
    /// The same in words.
    pub message: String,
    /// Captures that failed while others succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<CaptureError>,
    /// Whether the collection ended early because the worker's CPU budget is spent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub budget_spent: bool,
    /// Where this call stands in the whole list.
    pub batching: Batching,
}

/// Where a call stands in the list of captures. The list holds the known captures too, so that it
/// does not shrink from one call to the next.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// New captures downloaded, at the most.
    pub limit: usize,
    /// Listed captures passed over.
    pub offset: usize,
    /// Captures that the site lists.
    pub total_available: usize,
    /// Whether another call is needed.
    pub has_more: bool,
    /// Its offset.
    pub next_offset: Option<usize>,
}

pub(crate) async fn collect(request: &Request, cx: &Context) -> Result<Response> {
    let limit = request.query_or("limit", DEFAULT_LIMIT)?;
    let offset = request.query_or("offset", 0)?;
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(
            Error::bad_request(format!("`limit` must be between 1 and {MAX_LIMIT}")).code("INVALID_QUERY")
        );
    }
    let caller = Caller::of(request, cx, Wish::Use).await?;
    let budget = Budget::new(cx)?;
    budget.require_cpu()?;
    let delegated = delegating_run(request, cx);
    let run_id = delegated.clone().unwrap_or_else(|| cx.uuid());

    let claim = store::claim_one(cx, &run_id, Trigger::Manual, &caller.company_id).await?;
    if let Some(reason) = &claim.skip_reason {
        return Err(
            Error::bad_request(format!("the company cannot be collected: {reason}")).code("NOT_COLLECTABLE")
        );
    }
    let outcome = company::collect(cx, &budget, &claim, Batch { limit: Some(limit), offset }).await;
    // A batch that ended early is to be repeated.
    let ended_early = outcome.as_ref().is_ok_and(|collected| collected.next_offset == Some(offset));
    let budget_spent = ended_early && budget.is_cpu_spent();
    if delegated.is_none() {
        finish(cx, &run_id, &claim, &outcome, budget_spent).await?;
    }
    Response::json(200, &reply(outcome?, limit, offset, budget_spent))
}

/// The run of a `collect-dex` that holds the lease and works through us. A user cannot claim one.
fn delegating_run(request: &Request, cx: &Context) -> Option<String> {
    let run_id = request.header("x-run-id").filter(|id| is_uuid(id))?;
    cx.shows_service_key().then(|| run_id.to_owned())
}

async fn finish(
    cx: &Context,
    run_id: &str,
    claim: &Claim,
    outcome: &Result<Collected>,
    budget_spent: bool,
) -> Result<()> {
    let records = outcome.as_ref().map_or(0, |collected| collected.records);
    store::finish(cx, run_id, claim, outcome).await?;
    let summary = json!({
        "companiesProcessed": 1,
        "successfulCollections": usize::from(outcome.is_ok()),
        "totalRecords": records,
        "results": [],
    });
    store::end(cx, run_id, &summary, outcome.as_ref().err(), budget_spent).await
}

fn reply(collected: Collected, limit: usize, offset: usize, budget_spent: bool) -> Reply {
    let (records, machines) = (collected.records, collected.machines);
    Reply {
        success: true,
        records_count: records,
        machines_updated: machines,
        message: format!("{records} new captures of {machines} machines"),
        errors: collected.errors,
        budget_spent,
        batching: Batching {
            limit,
            offset,
            total_available: collected.available,
            has_more: collected.next_offset.is_some(),
            next_offset: collected.next_offset,
        },
    }
}
