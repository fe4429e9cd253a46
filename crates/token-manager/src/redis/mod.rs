//! Redis: commands in, answers out, over a socket or over HTTP.
//!
//! `address` reads the settings, `resp` speaks RESP over a socket, `rest` speaks Upstash's REST.

mod address;
mod resp;
mod rest;

use std::time::Duration;

use bytes::Bytes;
use ironferry::{Context, Error, HostError, Kind, Result};

use address::Target;

/// A command with its arguments.
pub(crate) type Command = Vec<Bytes>;

/// What a command gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nil,
    Int(i64),
    Text(Vec<u8>),
    List(Vec<Answer>),
    /// Redis' own words, e.g. `WRONGTYPE Operation against a key …`.
    Failed(String),
}

/// Redis, connected when it is first asked.
pub(crate) struct Redis {
    cx: Context,
    target: Target,
    timeout: Duration,
    socket: Option<resp::Socket>,
}

/// Redis answers in a millisecond; one that takes longer than this hangs.
const TIMEOUT_SECONDS: u64 = 10;
/// How often a pipeline is sent in all. A connection that breaks is opened again.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

impl Redis {
    /// The Redis of `UPSTASH_REDIS_REST_URL` or `REDIS_URL`. Nothing is sent yet.
    pub(crate) fn of(cx: &Context) -> Result<Self> {
        let target =
            Target::of(cx)?.ok_or_else(|| Error::missing_secret("REDIS_URL (or UPSTASH_REDIS_REST_URL)"))?;
        let timeout = Duration::from_secs(cx.setting("REDIS_TIMEOUT_SECONDS", TIMEOUT_SECONDS)?);
        Ok(Self { cx: cx.clone(), target, timeout, socket: None })
    }

    /// Sends commands in one go and gives an answer for each. A broken connection is opened again and
    /// all of them are sent again: they must be safe to repeat.
    pub(crate) async fn pipeline(&mut self, commands: &[Command]) -> Result<Vec<Answer>> {
        let mut attempt = 1;
        loop {
            match self.send(commands).await {
                Err(error) if error.kind() == Kind::Unavailable && attempt < ATTEMPTS => {
                    self.socket = None;
                    self.cx.sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn send(&mut self, commands: &[Command]) -> Result<Vec<Answer>> {
        match &self.target {
            Target::Rest(server) => rest::send(&self.cx, server, self.timeout, commands).await,
            Target::Socket(server) => {
                let mut socket = match self.socket.take() {
                    Some(socket) => socket,
                    None => resp::Socket::open(&self.cx, server, self.timeout).await?,
                };
                let answers = socket.send(commands).await?;
                // One that failed is in the middle of something, and is not used again.
                self.socket = Some(socket);
                Ok(answers)
            }
        }
    }
}

/// A command of texts.
pub(crate) fn command<const N: usize>(parts: [&str; N]) -> Command {
    parts.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect()
}

/// Redis said no: to the login, or to a command. Trying again does not help.
pub(crate) fn refused(words: &str) -> Error {
    // A server that is still reading its data from disk, or fails over, is one that is not there yet.
    if ["LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"].iter().any(|code| words.starts_with(code)) {
        return gone(HostError::Failed(words.to_owned()));
    }
    Error::bad_gateway("Redis refuses the login or a command").code("REDIS_REFUSED").source(words.to_owned())
}

fn gone(error: HostError) -> Error {
    match error {
        HostError::Timeout => Error::timeout("Redis does not answer in time").code("REDIS_TIMEOUT"),
        _ => Error::unavailable("Redis cannot be reached").code("REDIS_UNAVAILABLE"),
    }
    .source(error)
}

fn garbled(what: &str) -> Error {
    Error::bad_gateway("Redis answers in a way that is not understood")
        .code("REDIS_PROTOCOL")
        .source(what.to_owned())
}
