//! Collects DEX audits for every company that is due. pg_cron calls it every 5 minutes.
//!
//! `run` is the flow of a run, `remote` hands a company to another site's `collect-bulk`,
//! `summary` is what a run reports.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod remote;
mod rows;
mod run;
mod summary;

use http::HeaderValue;
use ironferry::{Context, Error, Request, Response, Result};

use rows::{found_by, listed};
pub use summary::{CompanyResult, Summary};

ironferry::export!(handle);

/// `POST /collect-dex` starts a run, `GET /collect-dex/status` tells of the last ones. Service keys only.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    cx.require_service()?;
    match (request.method().as_str(), request.route()) {
        ("POST", "/") => run::start(&request, &cx).await,
        ("GET", "/status") => status(&cx).await,
        (_, "/") => Err(Error::method_not_allowed("POST")),
        (_, "/status") => Err(Error::method_not_allowed("GET")),
        _ => Err(Error::not_found()),
    }
}

/// The last ten runs, without their results.
async fn status(cx: &Context) -> Result<Response> {
    let runs = cx
        .db()
        .from(listed::TABLE)
        .select(listed::COLUMNS)
        .eq(found_by::FUNCTION, "collect-dex")
        .order(&[found_by::STARTED_AT, ".desc"].concat())
        .range(0, 9)
        .fetch_text()
        .await?;
    let body = [br#"{"success":true,"runs":"#.as_slice(), &runs, b"}"].concat();
    Ok(Response::new(200, HeaderValue::from_static("application/json"), body))
}
