//! Upstash's REST: a pipeline is a POST of arrays of strings.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ironferry::{Context, FetchOptions, Result};
use serde::Deserialize;
use serde_json::Value;

use super::address::RestServer;
use super::{Answer, Command, garbled, gone, refused};

/// 1,000 tokens of 16 kB.
const LARGEST: usize = 16_000_000;

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<String>,
}

pub(super) async fn send(
    cx: &Context,
    server: &RestServer,
    timeout: Duration,
    commands: &[Command],
) -> Result<Vec<Answer>> {
    let texts: Vec<Vec<_>> = commands
        .iter()
        .map(|parts| parts.iter().map(|part| String::from_utf8_lossy(part)).collect())
        .collect();
    let body = ironferry::to_json(&texts).map_err(|error| garbled(&error))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", server.token.expose()))
        .map_err(|_| refused("UPSTASH_REDIS_REST_TOKEN holds characters that no header may have"))?;
    bearer.set_sensitive(true);
    let request = http::Request::post(format!("{}/pipeline", server.url))
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Bytes::from(body))?;
    let options =
        FetchOptions { timeout, max_body: LARGEST, follow_redirects: false, ..FetchOptions::default() };
    let reply = cx.fetch_with(request, options).await.map_err(gone)?;
    match reply.status() {
        StatusCode::OK => {}
        status if status.is_server_error() => {
            return Err(gone(ironferry::HostError::Failed(format!("it answered {}", status.as_u16()))));
        }
        // `{"error":"Unauthorized"}`, or 400 with Redis' words for a pipeline that is malformed.
        status => return Err(refused(&format!("it answered {}", status.as_u16()))),
    }
    let outcomes: Vec<Outcome> = ironferry::from_json(reply.body()).map_err(|error| garbled(&error))?;
    if outcomes.len() != commands.len() {
        return Err(garbled("another number of answers than commands"));
    }
    Ok(outcomes.into_iter().map(|one| one.error.map_or_else(|| answer(one.result), Answer::Failed)).collect())
}

fn answer(value: Value) -> Answer {
    match value {
        Value::String(text) => Answer::Text(text.into_bytes()),
        Value::Number(number) => number.as_i64().map_or(Answer::Nil, Answer::Int),
        Value::Array(values) => Answer::List(values.into_iter().map(answer).collect()),
        Value::Null | Value::Bool(_) | Value::Object(_) => Answer::Nil,
    }
}
