//! A project of one page: answers each request as it is told to, and remembers it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// A request that came.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Another header.
    pub(crate) header: Option<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), header: None }
    }
}

pub(crate) struct Site {
    /// Where it is.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<&'static Seen>>>,
}

impl Site {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let (listener, url) = listen().await;
        let seen = Arc::default();
        let site = Self { url, seen: Arc::clone(&seen) };
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                let serve = service_fn(move |request| reply(request, Arc::clone(&answer), Arc::clone(&seen)));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
                tokio::spawn(connection);
            }
        });
        site
    }

    /// Takes connections and never answers.
    pub(crate) async fn start_silent() -> Self {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok(connection) = listener.accept().await {
                held.push(connection);
            }
        });
        Self { url, seen: Arc::default() }
    }

    /// The request that came last.
    pub(crate) fn last(&self) -> &'static Seen {
        self.seen.lock().expect("no panic").last().expect("a request")
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<impl Fn(&Seen) -> Answer>,
    list: Arc<Mutex<Vec<&'static Seen>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let (method, path) = (head.method.to_string(), head.uri.to_string());
    // Tests are short; what they saw may stay.
    let seen: &'static Seen = Box::leak(Box::new(Seen { method, path, headers: head.headers, body }));
    list.lock().expect("no panic").push(seen);
    let Answer { status, body, header } = answer(seen);
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body.into())).expect("a response"))
}
