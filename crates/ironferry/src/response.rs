//! The reply a handler gives.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Map;

use crate::{Error, Result};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The SDK's own, in the order of `CONTENT_TYPES` in `serve.ts`.
#[cfg(target_arch = "wasm32")]
pub(crate) static CONTENT_TYPES: [HeaderValue; 3] = [JSON, PROBLEM, TEXT];

/// An `http::Response<Bytes>` with short ways to make one.
///
/// ```
/// use ironferry::Response;
///
/// let reply = Response::json(202, &serde_json::json!({ "run_id": 7 }))?;
/// assert_eq!(reply.status(), 202);
/// # Ok::<(), ironferry::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Response(http::Response<Bytes>);

impl Response {
    /// A reply with a body of any kind.
    pub fn new(status: u16, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut reply = http::Response::new(body.into());
        *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
        Self(reply)
    }

    /// A JSON reply.
    pub fn json(status: u16, body: &impl Serialize) -> Result<Self> {
        let body = crate::to_json(body)
            .map_err(|error| Error::internal("the reply could not be written").source(error))?;
        Ok(Self::new(status, JSON, body))
    }

    /// A text reply.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, TEXT, body.into())
    }

    /// A reply without a body.
    pub fn empty(status: u16) -> Self {
        let mut reply = Self::new(status, TEXT, Bytes::new());
        reply.0.headers_mut().remove(CONTENT_TYPE);
        reply
    }

    /// Sets a header, replacing one of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        self.0.body()
    }

    /// The plain response of the `http` crate.
    pub fn into_http(self) -> http::Response<Bytes> {
        self.0
    }

    /// The reply to a failed request:
    /// `{"success": false, "error": "…", "code": "…", "request_id": "…"}`, plus `details`
    /// where there are any. With `problem`, the same as RFC 9457 `application/problem+json`.
    pub fn from_error(error: &Error, request_id: &str, problem: bool) -> Self {
        let status = error.status();
        let mut fields = Map::new();
        if problem {
            fields.insert("type".into(), "about:blank".into());
            fields.insert("title".into(), status.canonical_reason().into());
            fields.insert("status".into(), status.as_u16().into());
            fields.insert("detail".into(), error.to_string().into());
        } else {
            fields.insert("success".into(), false.into());
            fields.insert("error".into(), error.to_string().into());
        }
        fields.insert("code".into(), error.as_code().into());
        fields.insert("request_id".into(), request_id.into());
        if let Some(details) = error.as_details() {
            fields.insert("details".into(), details.clone());
        }
        let kind = if problem { PROBLEM } else { JSON };
        let mut reply = Self::new(status.as_u16(), kind, crate::to_json(&fields).unwrap_or_default());
        for (name, value) in error.headers() {
            reply.headers_mut().insert(name, value.clone());
        }
        reply
    }
}

impl From<http::Response<Bytes>> for Response {
    fn from(reply: http::Response<Bytes>) -> Self {
        Self(reply)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_error_reply_has_its_four_fields_and_its_headers() {
        let reply = Response::from_error(&Error::method_not_allowed("POST"), "r-1", false);
        assert_eq!(reply.status(), 405);
        assert_eq!(reply.headers()["allow"], "POST");
        let body: Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(
            body,
            json!({"success": false, "error": "use POST here", "code": "METHOD_NOT_ALLOWED", "request_id": "r-1"})
        );
    }

    #[test]
    fn a_problem_reply_follows_rfc_9457() {
        let error = Error::bad_request("no").details(json!({"path": "a.b"}));
        let reply = Response::from_error(&error, "r-2", true);
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        let body: Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(body["title"], "Bad Request");
        assert_eq!(body["detail"], "no");
        assert_eq!(body["details"]["path"], "a.b");
    }
}
