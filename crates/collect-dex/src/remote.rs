//! Hands a company to another site's `collect-bulk`, batch by batch.

use std::time::Duration;

use bytes::Bytes;
use dex_collector::company::CaptureError;
use dex_collector::{Budget, CPU_BUDGET_SPENT, Claim, Collected};
use http::header::{CONTENT_TYPE, HeaderName};
use ironferry::{Context, Error, FetchOptions, Result, from_json, status_error};
use serde::Deserialize;

const X_SERVICE_KEY: HeaderName = HeaderName::from_static("x-service-key");
const X_COMPANY_ID: HeaderName = HeaderName::from_static("x-company-id");
const X_RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// Captures a call, as the earlier implementations ask for.
const LIMIT: usize = 15;
/// A batch of 15 with the site's pauses takes some 10 s.
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bulk {
    success: bool,
    #[serde(default)]
    records_count: usize,
    #[serde(default)]
    machines_updated: usize,
    #[serde(default)]
    errors: Vec<CaptureError>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    budget_spent: bool,
    #[serde(default)]
    batching: Option<Batching>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batching {
    has_more: bool,
    #[serde(default)]
    next_offset: Option<usize>,
    #[serde(default)]
    total_available: usize,
}

/// Follows `batching.nextOffset` to the end of the list, or of the budget.
pub(crate) async fn collect(
    cx: &Context,
    budget: &Budget,
    site: &str,
    run_id: &str,
    claim: &Claim,
) -> Result<Collected> {
    let mut total = Collected::default();
    let mut offset = 0;
    loop {
        if !budget.may_go_on(cx) {
            total.next_offset = Some(offset);
            return Ok(total);
        }
        budget.spend();
        let bulk = match call(cx, site, run_id, &claim.company_id, offset).await {
            // Its worker takes no further work: the companies stay due, and none has failed.
            Err(error) if error.as_code() == CPU_BUDGET_SPENT => {
                budget.refuse();
                continue;
            }
            bulk => bulk?,
        };
        total.records += bulk.records_count;
        total.machines += bulk.machines_updated;
        total.errors.extend(bulk.errors);
        let batching = bulk.batching.unwrap_or_default();
        total.available = batching.total_available;
        if bulk.budget_spent {
            budget.refuse();
            continue;
        }
        match batching.next_offset {
            Some(next) if batching.has_more && next > offset => offset = next,
            Some(next) if batching.has_more => {
                return Err(Error::bad_gateway(format!("SITE_URL goes from offset {offset} to {next}"))
                    .code("SITE_PROTOCOL"));
            }
            _ => {
                total.is_whole = true;
                // How old a capture is that failed, is not told: the next collection begins where this one did.
                if !total.errors.is_empty() {
                    total.failed_from = Some(claim.collect_from()?);
                }
                return Ok(total);
            }
        }
    }
}

async fn call(cx: &Context, site: &str, run_id: &str, company_id: &str, offset: usize) -> Result<Bulk> {
    let url = format!("{}/api/dex/collect-bulk?limit={LIMIT}&offset={offset}", site.trim_end_matches('/'));
    let request = http::Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(X_SERVICE_KEY, first_key(cx)?)
        .header(X_COMPANY_ID, company_id)
        // A `collect-bulk` on this same database works under this run's lease.
        .header(X_RUN_ID, run_id)
        .body(Bytes::from_static(b"{}"))?;
    let options = FetchOptions { timeout: TIMEOUT, follow_redirects: false, ..FetchOptions::default() };
    let reply = cx.fetch_with(request, options).await?;
    let said: Result<Bulk, String> = from_json(reply.body());
    if let Some(error) = status_error(reply.status(), "SITE_URL") {
        // Its own words are worth more than the status, and its code tells a refused login.
        return Err(match said {
            Ok(Bulk { error: Some(words), code: Some(code), .. }) => {
                Error::new(error.kind(), words).code(code)
            }
            Ok(Bulk { error: Some(words), .. }) => Error::new(error.kind(), words),
            _ => error,
        });
    }
    match said {
        Ok(bulk) if bulk.success => Ok(bulk),
        Ok(bulk) => {
            Err(Error::bad_gateway(bulk.error.unwrap_or_else(|| "SITE_URL reports a failure".into())))
        }
        Err(problem) => Err(Error::bad_gateway("SITE_URL answers with something else than a collection")
            .code("SITE_PROTOCOL")
            .source(problem)),
    }
}

/// Of overlapping keys, the first is the current one.
fn first_key(cx: &Context) -> Result<String> {
    let keys = cx.require_secret("SERVICE_API_KEY")?.expose();
    Ok(keys.split(',').next().unwrap_or("").trim().to_owned())
}
