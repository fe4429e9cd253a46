//! A simulated Tradovate, as far as renewing a session goes: `GET /v1/auth/renewaccesstoken`.
//!
//! Its refusals are the real ones: 401 for a session that has ended, 200 with `errorText`, a penalty of
//! `p-ticket` and `p-time` for too many calls (with `p-captcha` when it is serious), 429 for far too many.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::server::{self, Server};
use crate::tokens;

/// How long a session lasts, in seconds.
const LIFETIME: i64 = 80 * 60;
/// Calls of `/auth/` that it takes in a minute.
const PER_MINUTE: usize = 10;
const MINUTE: Duration = Duration::from_mins(1);

/// What goes wrong with the next calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 200 with `errorText`.
    ErrorText(String),
    /// A penalty of so many seconds.
    Penalty(u32),
    /// A penalty that wants a captcha solved.
    Captcha,
    /// Any status without a body, e.g. 429 or 500.
    Status(u16),
    /// 200 with something that is no JSON.
    Garbage,
}

/// A running broker. Ends when dropped.
pub struct Tradovate {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Sessions by token, and how often each was renewed.
    sessions: HashMap<String, u32>,
    faults: VecDeque<Fault>,
    /// The ticket of a penalty, and when it may be shown.
    ticket: Option<(String, Instant)>,
    calls: Vec<Instant>,
    asked: u32,
}

impl Tradovate {
    /// Starts without a session.
    pub async fn start() -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let reply = lock(&shared).answer(&request);
            async move { reply }
        });
        Ok(Self { server: server.await?, state })
    }

    /// `TRADOVATE_URL`
    pub fn url(&self) -> String {
        format!("{}/v1", self.server.url())
    }

    /// Knows this token from now on.
    pub fn admit(&self, token: &str) {
        lock(&self.state).sessions.insert(token.to_owned(), 0);
    }

    /// Ends all sessions.
    pub fn end_sessions(&self) {
        lock(&self.state).sessions.clear();
    }

    /// What goes wrong with the next calls, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state).faults.extend(faults);
    }

    /// Forgets the calls so far, and the penalty for them.
    pub fn forgive(&self) {
        let mut state = lock(&self.state);
        state.ticket = None;
        state.calls.clear();
    }

    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        lock(&self.state).asked
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.method() != http::Method::GET || request.uri().path() != "/v1/auth/renewaccesstoken" {
            return server::json(404, &json!({}));
        }
        self.asked += 1;
        let now = Instant::now();
        self.calls.retain(|call| now.duration_since(*call) < MINUTE);
        self.calls.push(now);
        if self.calls.len() > PER_MINUTE {
            return server::json(429, &json!({}));
        }
        if let Some((ticket, from)) = self.ticket.take() {
            let shown = request.uri().query().and_then(|query| query.strip_prefix("p-ticket="));
            if shown != Some(ticket.as_str()) || now < from {
                // Who does not wait, or forgets the ticket, waits longer.
                return self.penalty(60);
            }
        }
        match self.faults.pop_front() {
            Some(Fault::ErrorText(text)) => server::json(200, &json!({ "errorText": text })),
            Some(Fault::Penalty(seconds)) => self.penalty(seconds),
            Some(Fault::Captcha) => {
                server::json(200, &json!({ "p-ticket": "t", "p-time": 15, "p-captcha": true }))
            }
            Some(Fault::Status(status)) => server::json(status, &json!({})),
            Some(Fault::Garbage) => Response::new(Bytes::from_static(b"<html>maintenance</html>")),
            None => self.renew(request),
        }
    }

    fn penalty(&mut self, seconds: u32) -> Response<Bytes> {
        let ticket = format!("ticket{}", self.asked);
        self.ticket = Some((ticket.clone(), Instant::now() + Duration::from_secs(seconds.into())));
        server::json(200, &json!({ "p-ticket": ticket, "p-time": seconds, "p-captcha": false }))
    }

    fn renew(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let Some(times) = self.sessions.get(token).copied() else {
            return server::json(401, &json!({ "errorText": "Access is denied" }));
        };
        let renewed = tokens::jwt(&format!("renewed-{}-{}", times + 1, self.asked), LIFETIME);
        self.sessions.insert(renewed.clone(), times + 1);
        let ends = OffsetDateTime::now_utc() + Duration::from_secs(LIFETIME.unsigned_abs());
        server::json(
            200,
            &json!({
                "accessToken": renewed, "mdAccessToken": tokens::jwt("market-data", LIFETIME),
                "expirationTime": ends.format(&Rfc3339).unwrap_or_default(), "userStatus": "Active",
                "userId": 1_234_567, "name": "trader", "hasLive": false,
            }),
        )
    }
}
