//! A simulated Alpaca, version 2 of its trading API as far as orders go, with its real error bodies, its
//! latency, and the ways in which a reply is lost. `book` is the account, its orders and positions.

mod book;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use book::Book;
pub use book::{Kept, Refusal};

/// What it takes for its keys.
pub const KEY: &str = "PKSIMULATED";
/// The secret that goes with it.
pub const SECRET: &str = "simulated-alpaca-secret";

/// What happens to one request for an order. The next one fares as usual.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The order is placed, and the connection breaks before the reply.
    LostReply,
    /// The connection breaks before the order arrives.
    LostRequest,
    /// The order is placed, and a proxy answers with this status.
    PlacedButStatus(u16),
    /// Nothing is placed, and this status is the answer.
    Status(u16),
    /// 429, and the window ends in so many seconds.
    RateLimited(u64),
}

/// A running broker on 127.0.0.1. Ends when dropped.
pub struct Alpaca {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
    faults: Mutex<VecDeque<Fault>>,
    latency: Mutex<Duration>,
    asked: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Alpaca {
    /// Starts a broker with an account of 100,000.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listening")?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests for orders fare like this, in this order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// Every answer takes so long.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.shared.latency) = latency;
    }

    /// What can be bought for.
    pub fn set_buying_power(&self, cents: i64) {
        lock(&self.shared.book).buying_power_cents = cents;
    }

    /// Whether market orders are filled at once.
    pub fn fill_at_once(&self, yes: bool) {
        lock(&self.shared.book).fills_at_once = yes;
    }

    /// How long an order that is to be canceled is in between; it may be filled then.
    pub fn cancel_within(&self, wait: Duration) {
        lock(&self.shared.book).cancels_within = wait;
    }

    /// Fills an order that stands, the quantity and price as text.
    pub fn fill(&self, client_order_id: &str, quantity: i64, price_cents: i64) {
        lock(&self.shared.book).fill(client_order_id, quantity, price_cents);
    }

    /// All orders that it has, the oldest first.
    pub fn orders(&self) -> Vec<Kept> {
        lock(&self.shared.book).orders.clone()
    }

    /// What it was asked, as `POST /v2/orders`, in order.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for Alpaca {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            // A reply that is lost ends the connection, and that is meant.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Reply = Response<Full<Bytes>>;

/// An error breaks the connection.
async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Reply> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    lock(&shared.asked).push(format!("{} {path}", parts.method));
    let latency = *lock(&shared.latency);
    tokio::time::sleep(latency).await;

    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if (header("apca-api-key-id"), header("apca-api-secret-key")) != (Some(KEY), Some(SECRET)) {
        return Ok(reply(401, &json!({ "message": "unauthorized" })));
    }
    if parts.method == Method::POST && path == "/v2/orders" {
        let fault = lock(&shared.faults).pop_front();
        return order(&shared, &body, fault);
    }
    Ok(lock(&shared.book).read(&parts.method, &path, &query).map_or_else(
        |refusal| refuse(&refusal),
        |value| if parts.method == Method::DELETE { reply(204, &json!("")) } else { reply(200, &value) },
    ))
}

fn order(shared: &Shared, body: &[u8], fault: Option<Fault>) -> Result<Reply> {
    let place = || lock(&shared.book).place(&serde_json::from_slice(body).unwrap_or_default());
    match fault {
        None => Ok(place().map_or_else(|refusal| refuse(&refusal), |order| reply(200, &order))),
        Some(Fault::LostReply) => {
            let _ = place();
            anyhow::bail!("the reply is lost")
        }
        Some(Fault::LostRequest) => anyhow::bail!("the request is lost"),
        Some(Fault::PlacedButStatus(status)) => {
            let _ = place();
            Ok(reply(status, &json!({ "message": "upstream error" })))
        }
        Some(Fault::Status(status)) => {
            Ok(reply(status, &json!({ "message": "internal server error occurred" })))
        }
        Some(Fault::RateLimited(seconds)) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
            let mut limited = reply(429, &json!({ "code": 42_910_000, "message": "rate limit exceeded" }));
            let headers = limited.headers_mut();
            headers.insert("x-ratelimit-limit", 200.into());
            headers.insert("x-ratelimit-remaining", 0.into());
            headers.insert("x-ratelimit-reset", (now + seconds).into());
            Ok(limited)
        }
    }
}

fn refuse(refusal: &Refusal) -> Reply {
    reply(refusal.status, &refusal.body)
}

fn reply(status: u16, body: &Value) -> Reply {
    let mut reply = Response::new(Full::from(body.to_string()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    reply.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    reply
}
