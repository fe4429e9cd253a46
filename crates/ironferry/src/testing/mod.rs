//! Native tests without a platform: a scripted host, a virtual clock, every function testable
//! with `cargo test`.
//!
//! ```
//! use ironferry::testing::{App, Answer};
//! use ironferry::{Context, Request, Response, Result};
//! use serde_json::{Value, json};
//!
//! async fn count(_request: Request, cx: Context) -> Result<Response> {
//!     let machines: Vec<Value> = cx.db().from("machines").eq("status", "active").fetch().await?;
//!     Response::json(200, &json!({ "active": machines.len() }))
//! }
//!
//! let app = App::new(count).on("GET", "/rest/v1/machines?status=eq.active", Answer::json(json!([{}, {}])));
//! assert_eq!(app.get("/count").json()["active"], 2);
//!
//! let down = App::new(count).on("GET", "/rest/v1/", Answer::refused());
//! assert_eq!(down.get("/count").status(), 503);
//! ```

mod script;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use script::Script;
pub use script::{Answer, Call};

use crate::app::{Handler, answer, handler};
use crate::executor::Role;
use crate::{Context, Request, Response, Result};

/// The key that [`App::new`] sets as `SERVICE_API_KEY`.
pub const SERVICE_KEY: &str = "a-service-key-for-tests";

/// The platform ends a worker after this time at the latest, whatever it is doing.
const WALL_CLOCK_MS: f64 = 400_000.0;

/// A function under test. The script answers what it asks of the outside; what no rule answers
/// fails as an unreachable host does.
pub struct App {
    handler: Handler,
    script: Rc<Script>,
}

impl App {
    /// A function with the usual secrets, at 2026-01-01T00:00:00Z.
    pub fn new<F, W>(handle: F) -> Self
    where
        F: Fn(Request, Context) -> W + 'static,
        W: Future<Output = Result<Response>> + 'static,
    {
        let secrets = [
            ("SUPABASE_URL", "http://supabase.test"),
            ("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_for_tests"}"#),
            ("SUPABASE_PUBLISHABLE_KEYS", r#"{"default":"sb_publishable_for_tests"}"#),
            ("SUPABASE_JWKS", r#"{"keys":[{"kty":"EC","kid":"test"}]}"#),
            ("SERVICE_API_KEY", SERVICE_KEY),
        ];
        let script = Script::new(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        Self { handler: handler(handle), script: Rc::new(script) }
    }

    fn script(&mut self) -> &mut Script {
        Rc::get_mut(&mut self.script).expect("an app is set up before its first request")
    }

    /// Sets the clock, an RFC 3339 time.
    #[must_use]
    pub fn at(mut self, time: &str) -> Self {
        let time = OffsetDateTime::parse(time, &Rfc3339).expect("an RFC 3339 time");
        self.script().set_clock(time);
        self
    }

    /// Sets a secret; an empty value unsets it.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.script().set_secret(name, value);
        self
    }

    /// Answers requests of this method whose URL contains the text. Of several rules that fit the
    /// one made first answers; with several answers they come in turn and the last one stays.
    #[must_use]
    pub fn on(mut self, method: &str, url_part: &str, answers: impl Into<Vec<Answer>>) -> Self {
        self.script().add_rule(method, url_part, answers.into());
        self
    }

    /// Answers calls of a database function.
    #[must_use]
    pub fn rpc(self, function: &str, answers: impl Into<Vec<Answer>>) -> Self {
        self.on("POST", &format!("http://supabase.test/rest/v1/rpc/{function}"), answers)
    }

    /// Answers what is written to a socket.
    #[must_use]
    pub fn socket(mut self, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        self.script().set_socket(answer);
        self
    }

    /// GET without any key.
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Bytes::new())
    }

    /// POST of JSON without any key.
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.to_owned())
    }

    /// POST of JSON with the service key.
    pub fn post_as_service(&self, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json"), ("x-service-key", SERVICE_KEY)];
        self.send("POST", path, &headers, body.to_owned())
    }

    /// Sends any request. Time passes as the function sleeps and as answers are slow. Returns when all
    /// background work has ended too, or has gone on for 400 s, the longest that a worker lives: what is
    /// left of it goes on during the next request.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let mut request = http::Request::builder().method(method).uri(format!("http://functions.test{path}"));
        for (name, value) in headers.iter().chain(&[("x-request-id", "request-1")]) {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request that HTTP allows");
        self.run(request.into())
    }

    fn run(&self, request: Request) -> Reply {
        let reply = Rc::new(RefCell::new(None));
        let (handler, host, slot) = (self.handler.clone(), self.script.clone(), reply.clone());
        let executor = self.script.executor();
        executor.spawn(
            script::REQUEST,
            Role::Reply,
            Box::pin(async move {
                let answered = answer(handler, host, request).await;
                slot.replace(Some(answered));
            }),
        );
        let end_ms = self.script.elapsed_ms() + WALL_CLOCK_MS;
        while executor.run().is_empty() {
            if reply.borrow().is_some() && self.script.elapsed_ms() >= end_ms {
                break;
            }
            assert!(self.script.pass_time(), "the function waits for something that never comes");
        }
        let reply = reply.take().expect("a finished request has its reply");
        Reply(reply)
    }

    /// Lets time pass between two requests.
    pub fn advance(&self, duration: Duration) {
        self.script.advance(duration);
    }

    /// Returns the time that has passed since the app was made.
    pub fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.script.elapsed_ms() / 1_000.0)
    }

    /// Sets the clock forwards or, with less than nothing, backwards by some seconds. What sleeps is
    /// not woken: no time has passed.
    pub fn jump(&self, seconds: f64) {
        self.script.jump(seconds);
    }

    /// Makes a file, or removes it.
    pub fn put_file(&self, path: &str, content: Option<Bytes>) {
        self.script.put_file(path, content);
    }

    /// All files, by path.
    pub fn files(&self) -> Vec<(String, Bytes)> {
        self.script.files()
    }

    /// Makes every operation on a file fail, or work again.
    pub fn break_files(&self, broken: bool) {
        self.script.break_files(broken);
    }

    /// What the function asked of the network, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.script.calls()
    }

    /// What a database function was called with, in order.
    pub fn rpc_calls(&self, function: &str) -> Vec<Value> {
        let path = format!("/rest/v1/rpc/{function}");
        self.calls().iter().filter(|call| call.url.ends_with(&path)).map(Call::json).collect()
    }

    /// The log lines, parsed.
    pub fn logs(&self) -> Vec<Value> {
        self.script
            .logs()
            .iter()
            .map(|line| serde_json::from_str(line).expect("a log line is JSON"))
            .collect()
    }
}

/// An `Authorization` header's value for a user whose signature the scripted host accepts.
pub fn user_token(id: &str, expires: OffsetDateTime) -> String {
    let header = json!({"alg": "ES256", "kid": "test"});
    let claims =
        json!({"sub": id, "role": "authenticated", "exp": expires.unix_timestamp(), "app_metadata": {}});
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("Bearer {header}.{claims}.{}", URL_SAFE_NO_PAD.encode(script::ACCEPTED_SIGNATURE))
}

/// A reply under test.
pub struct Reply(Response);

impl Reply {
    /// The status as a number.
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// The body as JSON; panics with the text when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.0.body()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.0.body()).into_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }
}
