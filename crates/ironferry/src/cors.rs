//! Cross-origin requests: browsers may call from the origins that `CORS_ORIGINS` names.

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderValue, VARY,
};

use crate::{Context, Request, Response, Secret};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, apikey, content-type, x-client-info, x-request-id, x-company-id",
);
const A_DAY: HeaderValue = HeaderValue::from_static("86400");

/// The answer to a preflight request; `None` for every other.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    let asks = request.method() == http::Method::OPTIONS
        && request.header("access-control-request-method").is_some();
    asks.then(|| {
        Response::empty(204)
            .header(ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .header(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
            .header(ACCESS_CONTROL_MAX_AGE, A_DAY)
    })
}

/// Names the origin that may read the reply. `CORS_ORIGINS` lists origins separated by commas;
/// unset, it is `*`: no reply depends on cookies, so that gives nothing away.
pub(crate) fn allow_origin(cx: &Context, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let allowed = cx.secret("CORS_ORIGINS").map_or("*", Secret::expose);
    if allowed == "*" {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    let known =
        |origin: &&HeaderValue| allowed.split(',').any(|one| one.trim().as_bytes() == origin.as_bytes());
    if let Some(origin) = origin.filter(known) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}
