//! Measures, judges, answers.

use std::time::Duration;

use http::HeaderValue;
use http::header::VARY;
use ironferry::{Context, Error, Request, Response, Result};
use serde_json::{Map, Value, json};

use crate::judge::{self, Check, Status};
use crate::limits::Limits;
use crate::metrics;
use crate::report::{self, Report};

/// What came of a look at the project.
pub(crate) struct Health {
    /// That of the worst check.
    pub(crate) status: Status,
    /// How long the database took to answer besides measuring; none when it did not.
    pub(crate) latency_ms: Option<u64>,
    /// By name. What is not installed is not checked.
    pub(crate) checks: Vec<(&'static str, Check)>,
    /// What the database measured, as it came; null when it did not answer.
    pub(crate) measured: Value,
    /// The same, read.
    pub(crate) report: Report,
}

/// This module's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const OPEN_METRICS: &str = "application/openmetrics-text";
const PLAIN: &str = "text/plain";

pub(crate) async fn answer(request: &Request, cx: &Context) -> Result<Response> {
    let health = examine(cx).await?;
    let reply = match wanted(request.header("accept").unwrap_or_default()) {
        // A scraper throws away what comes with another status, and with it all that would tell why.
        Some(PLAIN) => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            Response::new(200, kind, metrics::write(&health))
        }
        Some(OPEN_METRICS) => {
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            Response::new(200, kind, metrics::write(&health) + "# EOF\n")
        }
        _ => {
            let status = if health.status == Status::Unhealthy { 503 } else { 200 };
            Response::json(status, &health.json())?
        }
    };
    Ok(reply.header(VARY, HeaderValue::from_static("accept")))
}

/// The first of the types that we write. A browser's `*/*` gets JSON.
fn wanted(accept: &str) -> Option<&str> {
    accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .find(|range| matches!(*range, PLAIN | OPEN_METRICS | "application/json" | "*/*"))
}

async fn examine(cx: &Context) -> Result<Health> {
    let limits = Limits::of(cx)?;
    let begun = cx.now();
    let patience = Duration::from_millis(limits.latency_ms.unhealthy);
    let outcome = report::fetch(cx, limits.token_seconds, patience).await;
    let round_trip = u64::try_from((cx.now() - begun).whole_milliseconds()).unwrap_or(0);

    let health = match outcome {
        Ok(measured) => {
            let report = Report::read(&measured);
            let latency_ms = round_trip.saturating_sub(report.took_ms);
            let checks = judge::all(&report, latency_ms, &limits);
            Health { status: judge::worst(&checks), latency_ms: Some(latency_ms), checks, measured, report }
        }
        Err(error) => {
            let checks = vec![("database", Check::unhealthy(describe(&error, round_trip)))];
            let (measured, report) = (Value::Null, Report::default());
            Health { status: Status::Unhealthy, latency_ms: None, checks, measured, report }
        }
    };
    for (name, check) in &health.checks {
        if check.status > Status::Healthy {
            let problems = Value::from(check.problems.as_slice());
            cx.warn(
                "health.check",
                json!({ "check": name, "status": check.status.name(), "problems": problems }),
            );
        }
    }
    Ok(health)
}

impl Health {
    fn json(&self) -> Value {
        let checks = self.checks.iter().map(|(name, check)| {
            let mut fields = Map::new();
            fields.insert("status".into(), check.status.name().into());
            if !check.problems.is_empty() {
                fields.insert("problems".into(), check.problems.as_slice().into());
            }
            ((*name).to_owned(), Value::Object(fields))
        });
        json!({
            "status": self.status.name(),
            "latency_ms": self.latency_ms,
            "checks": Value::Object(checks.collect()),
            "module": VERSION,
            "measured": self.measured,
        })
    }
}

/// Only services read this, so it has the REST server's own words.
fn describe(error: &Error, after_ms: u64) -> String {
    let after = after_ms.to_string();
    let text = [error.as_code(), ": ", &error.to_string(), ", after ", &after, " ms"].concat();
    match error.database() {
        Some(cause) => [&text, " (", &cause.code, " ", &cause.message, ")"].concat(),
        None => text,
    }
}
