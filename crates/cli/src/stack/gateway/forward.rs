//! Sends a request on as it came, less what concerns one connection only.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;

use super::relay::Relay;
use super::{ERROR_CODE, Reply};

/// RFC 9110, 7.6.1: about this connection, not about the message.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Aims a request at a port of this machine.
pub(super) fn prepare(request: &mut Request<Incoming>, port: u16, target: PathAndQuery, peer: IpAddr) {
    let mut uri = Uri::from(target).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = format!("127.0.0.1:{port}").parse::<Authority>().ok();
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;

    let headers = request.headers_mut();
    drop_hop_by_hop(headers);
    let host = headers.get(header::HOST).cloned();
    let client = match headers.get("x-forwarded-for").and_then(|value| value.to_str().ok()) {
        Some(before) => format!("{before}, {peer}"),
        None => peer.to_string(),
    };
    let mut set = |name: &'static str, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    set("x-forwarded-for", HeaderValue::try_from(client).ok());
    set("x-forwarded-proto", Some(HeaderValue::from_static("http")));
    set("x-forwarded-host", host);
}

/// Empties the headers of a function's request that are not visible ASCII: the hosted runtime does not pass them on.
pub(super) fn empty_unreadable(headers: &mut HeaderMap) {
    for value in headers.values_mut().filter(|value| value.to_str().is_err()) {
        *value = HeaderValue::from_static("");
    }
}

/// Turns a service's response into the client's.
pub(super) fn received(response: Response<Relay>) -> Reply {
    let mut response = response.map(http_body_util::Either::Left);
    drop_hop_by_hop(response.headers_mut());
    response
}

/// Turns a function's response into the client's, with the marks of the default domain of a hosted project: pages are
/// shown as text, and a failure that the function itself reports is told from one of the platform.
pub(super) fn from_function(response: Response<Relay>) -> Reply {
    let mut response = received(response);
    let is_failure = response.status().is_server_error();
    let headers = response.headers_mut();
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
    if is_page {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    headers.insert("x-served-by", HeaderValue::from_static("supabase-edge-runtime"));
    if is_failure {
        headers.insert(ERROR_CODE, HeaderValue::from_static("EDGE_FUNCTION_ERROR"));
    }
    response
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}
