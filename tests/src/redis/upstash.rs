//! Upstash's REST over a real Redis: `POST /pipeline` with an array of commands.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{self, Server};

/// A running server. Ends when dropped.
pub struct Upstash {
    server: Server,
}

/// What it accepts as `Authorization: Bearer …`.
const TOKEN: &str = "an-upstash-token-for-tests";

impl Upstash {
    /// Starts before `redis://host:port`.
    pub async fn start(url: &str) -> Result<Self> {
        let address = url.split_once("://").context("a URL")?.1.to_owned();
        let server = Server::start(move |request| {
            let address = address.clone();
            async move { answer(&request, &address).await }
        });
        Ok(Self { server: server.await? })
    }

    /// `UPSTASH_REDIS_REST_URL`
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `UPSTASH_REDIS_REST_TOKEN`
    pub fn token(&self) -> &'static str {
        TOKEN
    }
}

async fn answer(request: &Request<Bytes>, address: &str) -> Response<Bytes> {
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if shown.and_then(|value| value.strip_prefix("Bearer ")) != Some(TOKEN) {
        return server::json(401, &json!({ "error": "Unauthorized" }));
    }
    let commands: Option<Vec<Vec<String>>> = serde_json::from_slice(request.body()).ok();
    match (request.method(), request.uri().path(), commands) {
        (&Method::POST, "/pipeline", Some(commands)) if !commands.is_empty() => {
            match pipeline(address, &commands).await {
                Ok(results) => server::json(200, &results.into()),
                Err(error) => server::json(500, &json!({ "error": error.to_string() })),
            }
        }
        _ => server::json(400, &json!({ "error": "ERR failed to parse pipeline request" })),
    }
}

async fn pipeline(address: &str, commands: &[Vec<String>]) -> Result<Vec<Value>> {
    let mut socket = TcpStream::connect(address).await?;
    let mut bytes = Vec::new();
    for parts in commands {
        bytes.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
        for part in parts {
            bytes.extend_from_slice(format!("${}\r\n{part}\r\n", part.len()).as_bytes());
        }
    }
    let (mut reading, mut writing) = socket.split();
    let receive = async {
        let (mut received, mut results) = (Vec::new(), Vec::new());
        while results.len() < commands.len() {
            match decode(&received).map_err(|error| anyhow::anyhow!("{error}"))? {
                Some((frame, length)) => {
                    received.drain(..length);
                    results.push(match frame {
                        OwnedFrame::Error(words) => json!({ "error": words }),
                        frame => json!({ "result": value(frame) }),
                    });
                }
                None => anyhow::ensure!(reading.read_buf(&mut received).await? > 0, "Redis hung up"),
            }
        }
        Ok(results)
    };
    Ok(tokio::try_join!(async { writing.write_all(&bytes).await.map_err(Into::into) }, receive)?.1)
}

fn value(frame: OwnedFrame) -> Value {
    match frame {
        OwnedFrame::SimpleString(text) | OwnedFrame::BulkString(text) => {
            String::from_utf8_lossy(&text).into()
        }
        OwnedFrame::Error(words) => words.into(),
        OwnedFrame::Integer(number) => number.into(),
        OwnedFrame::Array(frames) => frames.into_iter().map(value).collect(),
        OwnedFrame::Null => Value::Null,
    }
}
