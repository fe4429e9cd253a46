//! Replies.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

use super::sessions::Session;

pub(super) type Reply = Response<BoxBody<Bytes, io::Error>>;

pub(super) fn body(bytes: impl Into<Bytes>) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

pub(super) fn reply(status: u16, kind: &str, bytes: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(body(bytes));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Ok(kind) = HeaderValue::from_str(kind) {
        reply.headers_mut().insert(CONTENT_TYPE, kind);
    }
    reply
}

pub(super) fn html(status: u16, text: impl Into<Bytes>) -> Reply {
    reply(status, "text/html; charset=UTF-8", text)
}

pub(super) fn json(status: u16, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

pub(super) fn redirect(location: &str) -> Reply {
    let page = format!("<meta http-equiv=\"refresh\" content=\"0;url='{location}'\" />");
    let mut reply = html(302, page);
    if let Ok(location) = HeaderValue::from_str(location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

/// Laravel sends both cookies with every reply, each in a header of its own, and their dates have
/// commas in them.
pub(super) fn with_cookies(mut reply: Reply, session: &Session) -> Reply {
    let until = "expires=Wed, 21 Oct 2099 07:28:00 GMT; Max-Age=7200; path=/; samesite=lax";
    for cookie in [
        format!("XSRF-TOKEN={}; {until}", session.csrf),
        format!("laravel_session={}; {until}; httponly", session.cookie),
    ] {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    reply
}
