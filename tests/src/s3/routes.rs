//! Requests, and what is answered to them.

use std::collections::HashMap;
use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::objects::etag;
use super::{KEY_ID, Shared, list, lock};

type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(error(StatusCode::BAD_REQUEST, "IncompleteBody"));
    };
    let body = body.to_bytes();
    if !is_signed(&head.headers) {
        lock(&shared.stats).unsigned += 1;
        return Ok(error(StatusCode::FORBIDDEN, "AccessDenied"));
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let query: HashMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let path = decoded(head.uri.path().trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if head.method == Method::PUT && shared.fails_first {
        let place = format!("{key} {}", query.get("partNumber").map_or("", String::as_str));
        if lock(&shared.failed).insert(place) {
            lock(&shared.stats).failures += 1;
            return Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"));
        }
    }
    Ok(if key.is_empty() {
        bucket_request(&head.method, bucket, &query, shared)
    } else {
        object_request(&head.method, key, &query, body, shared)
    })
}

/// As far as one can tell without the secret: AWS Signature Version 4, for this service, by our key.
fn is_signed(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = text("authorization");
    let signature = authorization.split_once("Signature=").map_or("", |(_, signature)| signature);
    let begin = format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/");
    authorization.starts_with(&begin)
        && authorization.contains("/s3/aws4_request")
        && authorization.contains("SignedHeaders=")
        && signature.len() == 64
        && signature.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text("x-amz-date").len() == 16
        && !text("x-amz-content-sha256").is_empty()
}

fn bucket_request(method: &Method, bucket: &str, query: &HashMap<String, String>, shared: &Shared) -> Answer {
    if *method != Method::GET || query.get("list-type").is_none_or(|kind| kind != "2") {
        return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
    }
    lock(&shared.stats).pages += 1;
    xml(list::page(bucket, query, &lock(&shared.objects)))
}

fn object_request(
    method: &Method,
    key: &str,
    query: &HashMap<String, String>,
    body: Bytes,
    shared: &Shared,
) -> Answer {
    let mut objects = lock(&shared.objects);
    let upload = query.get("uploadId");
    match (method.as_str(), upload) {
        ("PUT", Some(upload)) => {
            let tag = etag(&body);
            let number = query.get("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
            if !objects.part(upload, number, body) {
                return error(StatusCode::NOT_FOUND, "NoSuchUpload");
            }
            lock(&shared.stats).parts += 1;
            reply(StatusCode::OK, &[("etag", &tag)], Bytes::new())
        }
        ("PUT", None) => {
            let tag = etag(&body);
            objects.put(key.to_owned(), body);
            lock(&shared.stats).puts += 1;
            reply(StatusCode::OK, &[("etag", &tag)], Bytes::new())
        }
        ("POST", None) if query.contains_key("uploads") => {
            let id = objects.begin(key.to_owned());
            xml(format!(
                "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ))
        }
        ("POST", Some(upload)) => {
            let text = String::from_utf8_lossy(&body).into_owned();
            let numbers = text.split("<PartNumber>").skip(1);
            let named: Vec<u32> = numbers.filter_map(|rest| rest.split('<').next()?.parse().ok()).collect();
            match objects.complete(upload, &named) {
                Ok(()) => xml(format!(
                    "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>&quot;1&quot;</ETag></CompleteMultipartUploadResult>"
                )),
                Err(code) => error(StatusCode::BAD_REQUEST, code),
            }
        }
        ("DELETE", Some(upload)) => {
            objects.abort(upload);
            reply(StatusCode::NO_CONTENT, &[], Bytes::new())
        }
        ("DELETE", None) => {
            objects.delete(key);
            reply(StatusCode::NO_CONTENT, &[], Bytes::new())
        }
        ("GET" | "HEAD", None) => match objects.get(key) {
            None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
            Some(body) => {
                let length = body.len().to_string();
                let headers = [
                    ("etag", etag(body)),
                    ("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT".to_owned()),
                    ("content-length", length),
                ];
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let sent = if *method == Method::GET { body.clone() } else { Bytes::new() };
                reply(StatusCode::OK, &headers, sent)
            }
        },
        _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn reply(status: StatusCode, headers: &[(&str, &str)], body: Bytes) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body)).unwrap_or_default()
}

fn xml(text: String) -> Answer {
    reply(StatusCode::OK, &[("content-type", "application/xml")], text.into())
}

fn error(status: StatusCode, code: &str) -> Answer {
    let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    reply(status, &[("content-type", "application/xml")], text.into())
}
