//! A request, as far as the site looks at it.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{ACCEPT, COOKIE, HeaderName};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Collected};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    headers: HeaderMap,
    form: HashMap<String, String>,
}

impl Asked {
    /// None when the client went away before it had sent all.
    pub(super) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (parts, incoming) = request.into_parts();
        let body = incoming.collect().await.map(Collected::to_bytes).ok()?;
        Some(Self {
            form: read_form(&String::from_utf8_lossy(&body)),
            method: parts.method,
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body,
        })
    }

    pub(super) fn header(&self, name: &HeaderName) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.field(name).parse().ok()
    }

    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.header(&COOKIE).split("; ").find_map(|pair| {
            let (known, value) = pair.split_once('=')?;
            (known == name).then_some(value)
        })
    }

    /// Whether Laravel would say what is wrong in JSON: `Request::expectsJson`.
    pub(super) fn expects_json(&self) -> bool {
        let accept = self.header(&ACCEPT);
        let first = accept.split(',').next().unwrap_or("").trim();
        let by_script = self.header(&HeaderName::from_static("x-requested-with")) == "XMLHttpRequest";
        first.contains("/json") || first.contains("+json") || (by_script && matches!(first, "" | "*/*" | "*"))
    }
}

fn read_form(body: &str) -> HashMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
