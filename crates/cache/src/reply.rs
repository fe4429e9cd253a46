//! Replies: data with its layer, age and version, and the headers that all of them carry.

use http::header::{AGE, CACHE_CONTROL, ETAG, HeaderName};
use http::{HeaderValue, header};
use ironferry::{Context, Error, Request, Response, Result};

use crate::audit::{Record, with_retry_after};
use crate::read::Found;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// 200 with the data, or 304 for who has this version already.
pub(crate) fn data(request: &Request, cx: &Context, record: &Record, found: &Found) -> Result<Response> {
    let entry = &found.entry;
    let tag = ["W/\"", &entry.etag, "\""].concat();
    let same = request.header("if-none-match").is_some_and(|known| {
        known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == &tag[2..])
    });
    let reply = if same {
        Response::empty(304)
    } else {
        Response::new(200, HeaderValue::from_static("application/json"), entry.body.clone())
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // never negative
    let age = (entry.age_ms(record.started) / 1_000.0) as u64;
    let timing = format!("cache;desc={};dur={}", found.layer.name(), duration(record, cx));
    let unusable = |problem: http::Error| Error::internal("a header could not be written").source(problem);
    Ok(reply
        .header(X_CACHE, HeaderValue::from_static(found.layer.name()))
        .header(AGE, age.into())
        .header(ETAG, HeaderValue::try_from(tag).map_err(http::Error::from).map_err(unusable)?)
        // Callers may keep it, and ask each time whether it is still the newest.
        .header(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))
        .header(SERVER_TIMING, HeaderValue::try_from(timing).map_err(http::Error::from).map_err(unusable)?))
}

/// Milliseconds. Written as JSON: `f64`'s own `Display` is 7 kB of a module.
fn duration(record: &Record, cx: &Context) -> String {
    ironferry::to_json(&record.ms(cx)).unwrap_or_default()
}

/// On every reply. What is cached is data for programs: no page may frame it, run it or guess its type.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

pub(crate) fn secured(outcome: Result<Response>, record: &Record, cx: &Context) -> Result<Response> {
    let headers = SECURITY.into_iter();
    match outcome {
        Ok(reply) => Ok(headers.fold(reply, |reply, (name, value)| reply.header(name, value))),
        Err(error) => {
            let error = with_retry_after(error);
            let timing = HeaderValue::try_from(format!("cache;dur={}", duration(record, cx)));
            let error = headers.fold(error, |error, (name, value)| error.header(name, value));
            Err(timing.into_iter().fold(error, |error, value| error.header(SERVER_TIMING, value)))
        }
    }
}

/// 403 for plain HTTP, but on this machine.
pub(crate) fn require_https(request: &Request) -> Result<()> {
    let host = request.header("x-forwarded-host").unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    if request.header("x-forwarded-proto") == Some("http") && !is_local {
        return Err(Error::forbidden("use https").code("HTTPS_REQUIRED"));
    }
    Ok(())
}
