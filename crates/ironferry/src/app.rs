//! One request from arrival to reply: preflight, handler, error, log line.

use std::rc::Rc;

use http::header::{ACCEPT, HeaderName, HeaderValue, ORIGIN};
use serde_json::json;

use crate::log::Level;
use crate::request::path;
use crate::{Context, Error, Host, Request, Response, Result, cors, reserved};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A handler of any async function's shape, boxed.
pub type Handler = Rc<dyn Fn(Request, Context) -> crate::host::Future<Result<Response>>>;

/// Boxes `async fn handle(Request, Context) -> Result<Response>`.
pub fn handler<F, W>(handle: F) -> Handler
where
    F: Fn(Request, Context) -> W + 'static,
    W: Future<Output = Result<Response>> + 'static,
{
    Rc::new(move |request, cx| Box::pin(handle(request, cx)))
}

/// Answers one request. Never fails: an error becomes a reply and a log line.
pub async fn answer(handle: Handler, host: Rc<dyn Host>, request: Request) -> Response {
    let started = host.now_ms();
    let cx = Context::new(host, &request);
    // Clones that share what they hold: the handler takes the request.
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let origin = request.headers().get(ORIGIN).cloned();
    let problem = request
        .headers()
        .get(ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/problem+json"));

    let outcome = match cors::preflight(&request) {
        Some(reply) => Ok(reply),
        None => match reserved::answer(&cx, request.route()) {
            Some(reply) => reply,
            None => handle(request, cx.clone()).await,
        },
    };
    let (mut reply, error) = match outcome {
        Ok(reply) => (reply, None),
        Err(error) => (scrubbed(&cx, Response::from_error(&error, cx.request_id(), problem)), Some(error)),
    };
    cors::allow_origin(&cx, origin.as_ref(), reply.headers_mut());
    if let Ok(id) = HeaderValue::from_str(cx.request_id()) {
        reply.headers_mut().insert(X_REQUEST_ID, id);
    }

    let level = match reply.status().as_u16() {
        ..400 => Level::Info,
        400..500 => Level::Warn,
        _ => Level::Error,
    };
    if cx.logs(level) {
        let mut fields = json!({
            "method": method.as_str(),
            "path": path(&uri),
            "status": reply.status().as_u16(),
            "ms": (cx.host().now_ms() - started).round(),
        });
        if let Some(error) = error {
            fields["code"] = error.as_code().into();
            fields["error"] = error.chain().into();
        }
        cx.log(level, "request", fields);
    }
    reply
}

/// No known secret value leaves in an error, whatever a message was built from.
fn scrubbed(cx: &Context, reply: Response) -> Response {
    let (parts, body) = reply.into_http().into_parts();
    let text = cx.host().secrets().scrub(String::from_utf8_lossy(&body).into_owned());
    http::Response::from_parts(parts, text.into()).into()
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Error::internal("a request could not be written").source(error)
    }
}
