//! A simulated HashiCorp Vault: reading one path of a key-value store of version 2, with a token.

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::server::Server;

/// The only token that it takes.
pub const TOKEN: &str = "hvs.simulated";

/// A running server on 127.0.0.1, until it is dropped.
pub struct VaultKv(Server);

impl VaultKv {
    /// Starts it with these pairs at one path, `secret/ironferry/production`.
    pub async fn start(path: &str, pairs: Value) -> Result<Self> {
        let (mount, below) = path.split_once('/').unwrap_or((path, ""));
        let known = format!("/v1/{mount}/data/{below}");
        let server = Server::start(move |request| {
            let is_known = request.uri().path() == known;
            let is_allowed = request.headers().get("x-vault-token").is_some_and(|token| token == TOKEN);
            std::future::ready(match (is_allowed, is_known) {
                (false, _) => answer(StatusCode::FORBIDDEN, &json!({"errors": ["permission denied"]})),
                (true, false) => answer(StatusCode::NOT_FOUND, &json!({"errors": []})),
                (true, true) => {
                    answer(StatusCode::OK, &json!({"data": {"data": pairs, "metadata": {"version": 3}}}))
                }
            })
        });
        Ok(Self(server.await?))
    }

    /// `VAULT_ADDR`.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
