//! A simulated HashiCorp Vault: one path of a key-value store of version 2, read and written with a token. A write
//! names the version that it replaces (`cas`), and is refused when there is a newer one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::server::Server;

/// The only token that it takes.
pub const TOKEN: &str = "hvs.simulated";

/// A running server on 127.0.0.1, until it is dropped.
pub struct VaultKv {
    server: Server,
    stored: Arc<Mutex<Stored>>,
}

struct Stored {
    pairs: Value,
    version: u64,
}

fn lock(stored: &Mutex<Stored>) -> MutexGuard<'_, Stored> {
    stored.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VaultKv {
    /// Starts it with these pairs at one path, `secret/ironferry/production`.
    pub async fn start(path: &str, pairs: Value) -> Result<Self> {
        let (mount, below) = path.split_once('/').unwrap_or((path, ""));
        let known = format!("/v1/{mount}/data/{below}");
        let stored = Arc::new(Mutex::new(Stored { pairs, version: 3 }));
        let answering = Arc::clone(&stored);
        let server =
            Server::start(move |request| std::future::ready(serve(&request, &known, &answering))).await?;
        Ok(Self { server, stored })
    }

    /// `VAULT_ADDR`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The pairs of the newest version, and its number.
    pub fn newest(&self) -> (Value, u64) {
        let stored = lock(&self.stored);
        (stored.pairs.clone(), stored.version)
    }
}

fn serve(request: &Request<Bytes>, known: &str, stored: &Mutex<Stored>) -> Response<Bytes> {
    let is_allowed = request.headers().get("x-vault-token").is_some_and(|token| token == TOKEN);
    let mut stored = lock(stored);
    match (is_allowed, request.uri().path() == known, request.method()) {
        (false, ..) => answer(StatusCode::FORBIDDEN, &json!({"errors": ["permission denied"]})),
        (true, false, _) => answer(StatusCode::NOT_FOUND, &json!({"errors": []})),
        (true, true, &Method::POST) => {
            let new: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            if new["options"]["cas"] != stored.version || !new["data"].is_object() {
                let why = "check-and-set parameter did not match the current version";
                return answer(StatusCode::BAD_REQUEST, &json!({"errors": [why]}));
            }
            stored.pairs = new["data"].clone();
            stored.version += 1;
            answer(StatusCode::OK, &json!({"data": {"version": stored.version}}))
        }
        (true, true, _) => answer(
            StatusCode::OK,
            &json!({"data": {"data": stored.pairs, "metadata": {"version": stored.version}}}),
        ),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
