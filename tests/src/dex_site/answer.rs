//! Replies, good and bad.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use super::faults::Fault;

pub(super) type Reply = Response<BoxBody<Bytes, io::Error>>;

pub(super) fn body(bytes: impl Into<Bytes>) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

pub(super) fn reply(status: u16, kind: &str, bytes: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(body(bytes));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Ok(kind) = kind.parse() {
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
    let mut reply = html(302, format!("<meta http-equiv=\"refresh\" content=\"0;url='{location}'\" />"));
    if let Ok(location) = location.parse() {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

/// Two cookies, whose dates hold commas.
pub(super) fn with_cookies(mut reply: Reply, session: &str, csrf: &str) -> Reply {
    let until = "Expires=Wed, 21 Oct 2099 07:28:00 GMT; Max-Age=7200; path=/; samesite=lax";
    for cookie in
        [format!("XSRF-TOKEN={csrf}; {until}"), format!("laravel_session={session}; {until}; httponly")]
    {
        if let Ok(cookie) = cookie.parse() {
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    reply
}

/// What a fault makes of a reply's bytes.
pub(super) async fn spoilt(fault: Fault, kind: &str, bytes: Vec<u8>) -> Reply {
    match fault {
        Fault::Status(status) => html(status, "<html><title>Server Error</title></html>"),
        Fault::TooMany => {
            let mut reply = json(429, &serde_json::json!({ "message": "Too Many Attempts." }));
            reply.headers_mut().insert("retry-after", http::HeaderValue::from_static("60"));
            reply
        }
        Fault::Html => html(200, "<html><body>Maintenance</body></html>"),
        Fault::Garbage => reply(200, kind, vec![0xfe, 0x00, 0x7b, 0xff]),
        Fault::Hang => std::future::pending().await,
        Fault::CutOff => {
            let half = Bytes::from(bytes[..bytes.len() / 2].to_vec());
            let cut = io::Error::new(io::ErrorKind::ConnectionReset, "cut off on purpose");
            let frames = stream::iter([Ok(Frame::data(half)), Err(cut)])
                // The half must be on its way before the connection is gone.
                .then(|frame| async {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    frame
                });
            let mut reply = reply(200, kind, Bytes::new());
            *reply.body_mut() = BodyExt::boxed(StreamBody::new(frames));
            reply
        }
        Fault::Truncated => reply(200, kind, bytes[..bytes.len() / 2].to_vec()),
    }
}
