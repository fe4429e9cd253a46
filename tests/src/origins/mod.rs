//! Simulated sources of cached data, on one port: any JSON document, the JustGiving API and the Strava
//! API, each with the protocol and the faults of the real one.

mod justgiving;
mod strava;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use justgiving::Page;
pub use strava::Athlete;

/// How every answer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An error status.
    Status(u16),
    /// 429, to come back after so many seconds.
    TooMany(u32),
    /// 200 with a page of HTML.
    Html,
    /// 200 with half of a JSON document.
    CutOff,
    /// A redirect to somewhere else.
    Redirect,
    /// No answer for so many milliseconds, then the right one.
    Slow(u64),
    /// No answer until the trouble is another one, then the right one.
    Held,
    /// A body of so many bytes.
    Large(usize),
}

/// The running simulation on 127.0.0.1; ends when dropped.
pub struct Origins {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    documents: HashMap<String, Value>,
    page: Page,
    athlete: Athlete,
    trouble: Option<Trouble>,
    changed: watch::Sender<()>,
    calls: Vec<String>,
    headers: Vec<HeaderMap>,
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origins {
    /// Starts on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listening")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves a document at a path.
    pub fn document(&self, path: &str, content: Value) {
        lock(&self.shared).documents.insert(path.to_owned(), content);
    }

    /// Sets the JustGiving page.
    pub fn page(&self, page: Page) {
        lock(&self.shared).page = page;
    }

    /// Looks at the athlete on Strava, or changes them.
    pub fn athlete<T>(&self, look: impl FnOnce(&mut Athlete) -> T) -> T {
        look(&mut lock(&self.shared).athlete)
    }

    /// Makes every answer fail, or all well again.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        let mut state = lock(&self.shared);
        state.trouble = trouble;
        state.changed.send_replace(());
    }

    /// `METHOD /path?query` of each call so far.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.shared).calls.clone()
    }

    /// The header of this name in the last call.
    pub fn last_header(&self, name: &str) -> Option<String> {
        let state = lock(&self.shared);
        Some(state.headers.last()?.get(name)?.to_str().ok()?.to_owned())
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // A connection that the client cut is over, and that is all there is to it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A request, read.
struct Asked {
    method: Method,
    path: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

type Reply = Response<Full<Bytes>>;

async fn answer(shared: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: pairs(parts.uri.query().unwrap_or("")),
        headers: parts.headers,
        body,
    };
    let (trouble, mut changed, reply) = {
        let mut state = lock(&shared);
        state.calls.push(format!("{} {}", asked.method, parts.uri));
        state.headers.push(asked.headers.clone());
        (state.trouble, state.changed.subscribe(), state.page_of(&asked))
    };
    Ok(match trouble {
        None => reply,
        Some(Trouble::Status(status)) => json_reply(status, &json!({ "message": "something went wrong" })),
        Some(Trouble::TooMany(seconds)) => {
            let mut reply = json_reply(429, &json!({ "message": "Rate Limit Exceeded" }));
            reply.headers_mut().insert("retry-after", seconds.into());
            reply
        }
        Some(Trouble::Html) => Response::new(Full::new("<!doctype html><h1>We'll be back</h1>".into())),
        Some(Trouble::CutOff) => Response::new(Full::new("{\"half\": [1, 2".into())),
        Some(Trouble::Redirect) => {
            let mut reply = json_reply(302, &json!({}));
            reply.headers_mut().insert("location", http::HeaderValue::from_static("http://169.254.169.254/"));
            reply
        }
        Some(Trouble::Slow(ms)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            reply
        }
        Some(Trouble::Held) => {
            // Gone with its simulation, else.
            let _ = changed.changed().await;
            reply
        }
        Some(Trouble::Large(bytes)) => {
            Response::new(Full::new(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)).into()))
        }
    })
}

impl State {
    fn page_of(&mut self, asked: &Asked) -> Reply {
        match asked.path.as_str() {
            path if path.starts_with("/v1/fundraising/") => self.page.answer(asked),
            "/oauth/token" => self.athlete.grant(asked),
            path if path.starts_with("/api/v3/") => self.athlete.answer(asked),
            path => match self.documents.get(path) {
                Some(document) => json_reply(200, document),
                None => json_reply(404, &json!({ "message": "Not Found" })),
            },
        }
    }
}

fn json_reply(status: u16, body: &Value) -> Reply {
    let mut reply = Response::new(Full::new(body.to_string().into()));
    *reply.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    reply.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    reply
}

/// Of a query or a form; the simulation's clients encode nothing that matters here.
fn pairs(text: &str) -> HashMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split('&').filter_map(pair).collect()
}
