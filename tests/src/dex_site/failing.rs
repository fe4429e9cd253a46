//! What a fault makes of a good reply.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use super::answer::{Reply, html, json, reply};
use super::faults::Fault;

/// Time for what was sent to be on its way before the connection is gone.
const BEFORE_THE_CUT: Duration = Duration::from_millis(20);
/// Bytes of a body that drips.
const DROP: usize = 100;

pub(super) async fn failing(fault: Fault, good: Reply) -> Reply {
    match fault {
        Fault::Status(status) => html(status, "<html><title>Server Error</title></html>"),
        Fault::TooMany => {
            let mut reply = json(429, &json!({ "message": "Too Many Attempts." }));
            let header = HeaderValue::from_static("60");
            reply.headers_mut().insert(RETRY_AFTER, header);
            reply
        }
        Fault::Html => html(200, "<html><body>We will be back soon.</body></html>"),
        Fault::Garbage => reply(200, &kind(&good), vec![0xfe, 0x00, 0x7b, 0xff]),
        Fault::Hang => std::future::pending().await,
        Fault::Truncated => altered(good, |bytes| bytes.slice(..bytes.len() / 2)).await,
        Fault::CutOff => cut_off(good).await,
        Fault::Drip(every_ms) => drip(good, Duration::from_millis(every_ms)).await,
        Fault::Endless => {
            let chunk = Bytes::from_static(&[b'*'; 16 * 1024]);
            streamed(good, stream::repeat_with(move || Ok(chunk.clone())))
        }
    }
}

fn kind(reply: &Reply) -> String {
    let kind = reply.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok()).unwrap_or("text/plain").to_owned()
}

/// The body as it would have been sent. It is in memory, so that reading it cannot fail.
async fn bytes(reply: &mut Reply) -> Bytes {
    let body = std::mem::take(reply.body_mut());
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

async fn altered(mut good: Reply, change: impl FnOnce(Bytes) -> Bytes) -> Reply {
    let body = bytes(&mut good).await;
    *good.body_mut() = super::answer::body(change(body));
    good
}

/// The head says how long the body is, and half of it comes.
async fn cut_off(mut good: Reply) -> Reply {
    let whole = bytes(&mut good).await;
    let cut = io::Error::new(io::ErrorKind::ConnectionReset, "cut off on purpose");
    let half = whole.slice(..whole.len() / 2);
    let length = HeaderValue::from(whole.len());
    good.headers_mut().insert(CONTENT_LENGTH, length);
    let pieces = stream::iter([Ok(half), Err(cut)]).then(|piece| async {
        tokio::time::sleep(BEFORE_THE_CUT).await;
        piece
    });
    streamed(good, pieces)
}

async fn drip(mut good: Reply, every: Duration) -> Reply {
    let whole = bytes(&mut good).await;
    let drops: Vec<_> = whole.chunks(DROP).map(Bytes::copy_from_slice).collect();
    let pieces = stream::iter(drops).then(move |piece| async move {
        tokio::time::sleep(every).await;
        Ok(piece)
    });
    streamed(good, pieces)
}

fn streamed(
    mut reply: Reply,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
) -> Reply {
    *reply.body_mut() = BoxBody::new(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))));
    reply
}
