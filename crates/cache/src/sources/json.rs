//! Any endpoint that answers with JSON.
//!
//! `settings.pointer` (RFC 6901) takes a part of it; what is no object is wrapped in `{"value": …}`.
//! `settings.max_bytes` is the most that is read.

use http::Method;
use ironferry::{Context, Raw, Result};
use serde_json::{Value, json};

use super::{Call, Fetched, MAX_BODY, Source, call, encode, protocol, read};

pub(crate) async fn fetch(cx: &Context, source: &Source) -> Result<Fetched> {
    let max_body = source.settings["max_bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    let reply = call(
        cx,
        Call {
            source,
            method: Method::GET,
            url: &source.url,
            headers: &[],
            body: bytes::Bytes::new(),
            max_body: max_body.unwrap_or(MAX_BODY).min(MAX_BODY),
        },
    )
    .await?
    .into_body();
    let body = match source.settings["pointer"].as_str().unwrap_or("") {
        "" => {
            let whole: Raw = read(source, &reply)?;
            let whole = whole.get();
            if whole.starts_with('{') { reply } else { format!("{{\"value\":{whole}}}").into() }
        }
        pointer => {
            let mut whole: Value = read(source, &reply)?;
            let part = whole
                .pointer_mut(pointer)
                .ok_or_else(|| protocol(source, "its answer has nothing at the pointer"))?
                .take();
            encode(&if part.is_object() { part } else { json!({ "value": part }) })
        }
    };
    Ok(Fetched { body, rich_at: None })
}
