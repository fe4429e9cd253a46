//! Whether the project is well: for load balancers, people and Prometheus.
//!
//! `report` is what the database measures, `limits` where well ends, `judge` compares the two,
//! `full` is the flow of it, `metrics` the reply for Prometheus.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod full;
mod judge;
mod limits;
mod metrics;
mod report;
mod rows;

use http::HeaderValue;
use http::header::CACHE_CONTROL;
use ironferry::{Context, Error, Request, Response, Result};
use serde_json::json;

pub use limits::{ALL as LIMITS, Limit, NEVER, TOKEN_SECONDS};

ironferry::export!(handle);

/// `GET /health` says that the function answers, to everybody. `GET /health/full` says how the
/// project is, to services.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    let reply = match (request.method().as_str(), request.route()) {
        ("GET" | "HEAD", "/") => Response::json(200, &json!({ "status": "alive" })),
        ("GET" | "HEAD", "/full") => {
            cx.require_service()?;
            full::answer(&request, &cx).await
        }
        (_, "/" | "/full") => Err(Error::method_not_allowed("GET, HEAD")),
        _ => Err(Error::not_found()),
    };
    reply.map(|reply| reply.header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
}
