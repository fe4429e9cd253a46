//! Where data comes from. `json` fetches any JSON endpoint, `justgiving` and `strava` their APIs.

mod json;
mod justgiving;
pub(crate) mod strava;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, StatusCode};
use ironferry::{Context, Error, FetchOptions, HostError, Raw, Result, Secret, outbound};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::{Entry, Key};
use crate::settings::Settings;

/// A source as the database, a file or `CACHE_SOURCES` describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    /// json, justgiving or strava.
    pub(crate) kind: String,
    /// An endpoint, or the base of an API.
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) refresh_seconds: Option<u32>,
    #[serde(default)]
    pub(crate) rich_seconds: Option<u32>,
    /// Values are texts, or `{"secret": "CACHE_SECRET_…"}`.
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    #[serde(default)]
    pub(crate) settings: Value,
    /// Sealed.
    #[serde(default)]
    pub(crate) credentials: Option<String>,
}

/// What a source gave.
pub(crate) struct Fetched {
    pub(crate) body: Bytes,
    /// When its rich fields were fetched, on the measuring clock.
    pub(crate) rich_at: Option<f64>,
}

/// Fetches. `previous` is the data so far, for a source that adds to it; without a lease no credentials are
/// renewed.
pub(crate) async fn fetch(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: &Source,
    previous: Option<&Entry>,
    lease: Option<&str>,
) -> Result<Fetched> {
    match source.kind.as_str() {
        "json" => json::fetch(cx, source).await,
        "justgiving" => justgiving::fetch(cx, source).await,
        "strava" => strava::fetch(cx, settings, key, source, previous, lease).await,
        other => {
            Err(Error::bad_request(format!("there is no kind of source `{other}`")).code("INVALID_SOURCE"))
        }
    }
}

/// The source of this name in `CACHE_SOURCES`, `{"project/type": {"kind": …, "url": …}}`: what is
/// known when the database is away and the files are gone.
pub(crate) fn built_in(cx: &Context, key: &Key) -> Result<Option<Source>> {
    let Some(text) = cx.secret("CACHE_SOURCES") else {
        return Ok(None);
    };
    let unusable =
        |_| Error::internal("CACHE_SOURCES has a value that cannot be used").code("INVALID_SETTING");
    let all: BTreeMap<String, Raw<&str>> =
        ironferry::from_json(text.expose().as_bytes()).map_err(unusable)?;
    match all.get([&key.project, "/", &key.cache_type].concat().as_str()) {
        Some(source) => source.read().map(Some).map_err(unusable),
        None => Ok(None),
    }
}

/// One call of a source.
pub(crate) struct Call<'a> {
    pub(crate) source: &'a Source,
    pub(crate) method: Method,
    pub(crate) url: &'a str,
    /// Besides the source's own.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: Bytes,
    pub(crate) max_body: usize,
}

/// As large as anything that is cached.
pub(crate) const MAX_BODY: usize = 10_485_760;

/// Sends a call and returns a reply that succeeded.
pub(crate) async fn call(cx: &Context, call: Call<'_>) -> Result<http::Response<Bytes>> {
    let source = call.source;
    let reply = send(cx, call).await?;
    check(cx, source, &reply)?;
    Ok(reply)
}

/// Sends a call and returns the reply, whatever its status. Redirects are not followed: they would carry the
/// headers to a place that nobody has looked at.
pub(crate) async fn send(cx: &Context, call: Call<'_>) -> Result<http::Response<Bytes>> {
    let source = call.source;
    let mut request = http::Request::builder()
        .method(call.method)
        .uri(outbound::guard(cx, call.url)?)
        .header("accept", "application/json");
    for (name, value) in &source.headers {
        request = request.header(name, header(cx, value)?.expose());
    }
    for (name, value) in call.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(call.body).map_err(|problem| {
        Error::bad_request("the source has a header that cannot be sent")
            .code("INVALID_SOURCE")
            .source(problem)
    })?;
    let options =
        FetchOptions { max_body: call.max_body, follow_redirects: false, ..FetchOptions::default() };
    cx.fetch_with(request, options).await.map_err(|error| {
        match error {
            HostError::Timeout => failed(source, "it did not answer in time", 504),
            HostError::TooLarge => failed(source, "it sends more than is accepted", 502),
            _ => failed(source, "it cannot be reached", 502),
        }
        .source(error)
    })
}

/// Returns an error for a reply that did not succeed.
pub(crate) fn check(cx: &Context, source: &Source, reply: &http::Response<Bytes>) -> Result<()> {
    match reply.status() {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(limited(source, retry_after(cx, reply.headers()).unwrap_or(60))),
        status => Err(failed(source, &format!("it answered {}", status.as_u16()), 502)),
    }
}

/// Reads a reply that must be JSON.
pub(crate) fn read<T: serde::de::DeserializeOwned>(source: &Source, body: &Bytes) -> Result<T> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
        return Err(protocol(source, "it answered with a page of HTML"));
    }
    ironferry::from_json(body)
        .map_err(|problem| protocol(source, "it answered with something else than expected").source(problem))
}

/// A text, or a secret that the operator set for this purpose.
fn header(cx: &Context, value: &Value) -> Result<Secret> {
    let name = match value {
        Value::String(text) => return Ok(Secret::new(text.as_str())),
        other => other["secret"].as_str().unwrap_or(""),
    };
    if !name.starts_with("CACHE_SECRET_") {
        let said = "a header is a text or {\"secret\": \"CACHE_SECRET_…\"}";
        return Err(Error::bad_request(said).code("INVALID_SOURCE"));
    }
    cx.require_secret(name).cloned()
}

/// 502 or 504: it did not work.
pub(crate) fn failed(source: &Source, what: &str, status: u16) -> Error {
    let message = format!("the {} source failed: {what}", source.kind);
    if status == 504 {
        return Error::timeout(message).code("SOURCE_TIMEOUT");
    }
    Error::bad_gateway(message).code("SOURCE_FAILED")
}

/// 502: it answered, but not with data.
pub(crate) fn protocol(source: &Source, what: &str) -> Error {
    failed(source, what, 502).code("SOURCE_PROTOCOL")
}

/// 503: it asks to be left alone for so many seconds.
pub(crate) fn limited(source: &Source, seconds: u64) -> Error {
    Error::unavailable(format!("the {} source asks to slow down", source.kind))
        .code("SOURCE_LIMITED")
        .details(serde_json::json!({ "retry_after": seconds.clamp(1, 86_400) }))
}

/// 502: it refuses its credentials, and only an operator can get new ones.
pub(crate) fn needs_login() -> Error {
    Error::bad_gateway("the source refuses its refresh token: save the source with a new one")
        .code("SOURCE_NEEDS_LOGIN")
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(cx: &Context, headers: &http::HeaderMap) -> Option<u64> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let text = text.strip_suffix("GMT").map(|date| [date, "+0000"].concat())?;
    let date = time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc2822).ok()?;
    u64::try_from((date - cx.now()).whole_seconds()).ok()
}

/// The current time, as data carries it.
pub(crate) fn stamp(cx: &Context) -> Value {
    crate::entry::timestamp(crate::entry::now_ms(cx)).into()
}

pub(crate) fn encode(value: &Value) -> Bytes {
    ironferry::to_json(value).unwrap_or_default().into()
}
