//! The scripted host: rules answer fetches, a virtual clock answers sleeps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;

use crate::Secrets;
use crate::executor::{Executor, RequestId, Role};
use crate::host::{Address, Connection, FetchOptions, FileOperation, Future, Host, HostError, Signature};

pub(super) const ACCEPTED_SIGNATURE: &[u8] = b"signed by the test";

/// There is one request at a time.
pub(super) const REQUEST: RequestId = 1;

/// 2026-01-01T00:00:00Z, in milliseconds.
const START_MS: f64 = 1_767_225_600_000.0;

/// How the outside answers a fetch.
#[derive(Clone, Debug)]
pub struct Answer {
    outcome: Result<http::Response<Bytes>, HostError>,
    after: Duration,
}

impl Answer {
    /// 200 with JSON.
    pub fn json(body: impl Into<Value>) -> Self {
        Self::status(200, body.into().to_string()).header("content-type", "application/json")
    }

    /// Any status with a body.
    pub fn status(status: u16, body: impl Into<Bytes>) -> Self {
        let mut reply = http::Response::new(body.into());
        *reply.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        Self { outcome: Ok(reply), after: Duration::ZERO }
    }

    /// A connection that is refused.
    pub fn refused() -> Self {
        Self { outcome: Err(HostError::Failed("connection refused".into())), after: Duration::ZERO }
    }

    /// No answer, ever: the fetch ends by its time-out.
    pub fn hang() -> Self {
        Self { outcome: Err(HostError::Timeout), after: Duration::MAX }
    }

    /// Adds a header; several of one name are kept.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(reply) = &mut self.outcome {
            reply.headers_mut().append(name, value.parse().expect("a header value"));
        }
        self
    }

    /// Takes its time.
    #[must_use]
    pub fn after(mut self, duration: Duration) -> Self {
        self.after = duration;
        self
    }
}

impl From<Answer> for Vec<Answer> {
    fn from(answer: Answer) -> Self {
        vec![answer]
    }
}

/// A fetch that the function made.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

struct Rule {
    method: String,
    url_part: String,
    answers: Vec<Answer>,
    used: Cell<usize>,
}

/// Answers what a socket receives.
type Responder = Rc<dyn Fn(&[u8]) -> Vec<u8>>;

pub(super) struct Script {
    clock: Rc<Clock>,
    values: HashMap<String, String>,
    secrets: Secrets,
    rules: Vec<Rule>,
    responder: Option<Responder>,
    files: RefCell<HashMap<String, Bytes>>,
    files_broken: Cell<bool>,
    calls: RefCell<Vec<Call>>,
    lines: RefCell<Vec<String>>,
    drawn: Cell<u64>,
    executor: Executor,
}

/// Virtual time: sleepers are woken in the order of their deadlines.
struct Clock {
    /// Set by tests, and going on.
    now_ms: Cell<f64>,
    /// Going on only.
    elapsed_ms: Cell<f64>,
    sleepers: RefCell<BTreeMap<(u128, u64), Waker>>,
    slept: Cell<u64>,
}

impl Script {
    pub(super) fn new(values: HashMap<String, String>) -> Self {
        let clock = Clock {
            now_ms: Cell::new(START_MS),
            elapsed_ms: Cell::new(0.0),
            sleepers: RefCell::default(),
            slept: Cell::new(0),
        };
        Self {
            clock: Rc::new(clock),
            secrets: Secrets::new(values.clone()),
            values,
            rules: Vec::new(),
            responder: None,
            files: RefCell::default(),
            files_broken: Cell::new(false),
            calls: RefCell::default(),
            lines: RefCell::default(),
            drawn: Cell::new(0),
            executor: Executor::default(),
        }
    }

    #[allow(clippy::cast_precision_loss)] // milliseconds of this era fit
    pub(super) fn set_clock(&mut self, time: OffsetDateTime) {
        self.clock.now_ms.set((time.unix_timestamp_nanos() / 1_000_000) as f64);
    }

    pub(super) fn set_secret(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
        self.secrets = Secrets::new(self.values.clone());
    }

    pub(super) fn add_rule(&mut self, method: &str, url_part: &str, answers: Vec<Answer>) {
        assert!(!answers.is_empty(), "a rule needs an answer");
        let rule = Rule { method: method.into(), url_part: url_part.into(), answers, used: Cell::new(0) };
        self.rules.push(rule);
    }

    pub(super) fn set_socket(&mut self, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) {
        self.responder = Some(Rc::new(answer));
    }

    pub(super) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Goes on to the next deadline; false when nobody sleeps.
    pub(super) fn pass_time(&self) -> bool {
        let next = self.clock.sleepers.borrow_mut().pop_first();
        let Some(((deadline, _), waker)) = next else {
            return false;
        };
        #[allow(clippy::cast_precision_loss)]
        self.clock.pass((deadline as f64 / 1_000.0 - self.clock.elapsed_ms.get()).max(0.0));
        waker.wake();
        true
    }

    pub(super) fn elapsed_ms(&self) -> f64 {
        self.clock.elapsed_ms.get()
    }

    pub(super) fn advance(&self, duration: Duration) {
        self.clock.pass(duration.as_secs_f64() * 1_000.0);
    }

    pub(super) fn jump(&self, seconds: f64) {
        self.clock.now_ms.set(self.clock.now_ms.get() + seconds * 1_000.0);
    }

    pub(super) fn put_file(&self, path: &str, content: Option<Bytes>) {
        let mut files = self.files.borrow_mut();
        match content {
            Some(content) => files.insert(path.to_owned(), content),
            None => files.remove(path),
        };
    }

    pub(super) fn files(&self) -> Vec<(String, Bytes)> {
        let mut files: Vec<_> =
            self.files.borrow().iter().map(|(path, body)| (path.clone(), body.clone())).collect();
        files.sort();
        files
    }

    pub(super) fn break_files(&self, broken: bool) {
        self.files_broken.set(broken);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    pub(super) fn logs(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    fn answer_to(&self, call: &Call) -> Answer {
        let fits = |rule: &&Rule| rule.method == call.method && call.url.contains(&rule.url_part);
        self.rules.iter().find(fits).map_or_else(Answer::refused, |rule| {
            let turn = rule.used.replace(rule.used.get() + 1);
            rule.answers[turn.min(rule.answers.len() - 1)].clone()
        })
    }
}

impl Clock {
    fn pass(&self, ms: f64) {
        self.now_ms.set(self.now_ms.get() + ms);
        self.elapsed_ms.set(self.elapsed_ms.get() + ms);
    }

    fn sleep(self: Rc<Self>, duration: Duration) -> impl std::future::Future<Output = ()> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let deadline = (self.elapsed_ms.get() * 1_000.0) as u128 + duration.as_micros();
        let number = self.slept.replace(self.slept.get() + 1);
        std::future::poll_fn(move |cx| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            if (self.elapsed_ms.get() * 1_000.0).round() as u128 >= deadline {
                return Poll::Ready(());
            }
            self.sleepers.borrow_mut().insert((deadline, number), cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Host for Script {
    fn now_ms(&self) -> f64 {
        self.clock.now_ms.get()
    }

    fn elapsed_ms(&self) -> f64 {
        self.clock.elapsed_ms.get()
    }

    /// The same numbers at every run, and never the same twice.
    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let drawn = self.drawn.replace(self.drawn.get() + 1).wrapping_add(1);
            let mixed =
                drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn log(&self, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
        options: FetchOptions,
    ) -> Future<Result<http::Response<Bytes>, HostError>> {
        let (parts, body) = request.into_parts();
        let call = Call {
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            headers: parts.headers,
            body,
        };
        let Answer { outcome, after } = self.answer_to(&call);
        self.calls.borrow_mut().push(call);
        let sleep = self.clock.clone().sleep(after.min(options.timeout));
        Box::pin(async move {
            sleep.await;
            match outcome {
                _ if after > options.timeout => Err(HostError::Timeout),
                Ok(reply) if reply.body().len() > options.max_body => Err(HostError::TooLarge),
                outcome => outcome,
            }
        })
    }

    fn sleep(&self, duration: Duration) -> Future<()> {
        Box::pin(self.clock.clone().sleep(duration))
    }

    fn spawn(&self, work: Future<()>, on_lost: Box<dyn FnOnce()>) {
        self.executor.spawn(REQUEST, Role::Beside(on_lost), work);
    }

    fn file(&self, operation: FileOperation) -> Future<Result<Bytes, HostError>> {
        let mut files = self.files.borrow_mut();
        let outcome = match operation {
            _ if self.files_broken.get() => Err(HostError::Failed("the disk is broken".into())),
            FileOperation::List(folder) => {
                let folder = format!("{}/", folder.trim_end_matches('/'));
                let names = files.keys().filter_map(|path| path.strip_prefix(&folder));
                let mut names: Vec<_> = names.filter(|name| !name.contains('/')).collect();
                names.sort_unstable();
                if names.is_empty() { Err(HostError::NotFound) } else { Ok(names.join("\n").into()) }
            }
            FileOperation::Read(path) => files.get(&path).cloned().ok_or(HostError::NotFound),
            FileOperation::Write(path, body) => {
                files.insert(path, body);
                Ok(Bytes::new())
            }
            FileOperation::Remove(path) => {
                files.remove(&path).ok_or(HostError::NotFound).map(|_| Bytes::new())
            }
        };
        Box::pin(async move { outcome })
    }

    fn connect(&self, _address: Address) -> Future<Result<Box<dyn Connection>, HostError>> {
        let outcome = self.responder.clone().ok_or_else(|| HostError::Failed("connection refused".into()));
        Box::pin(async move {
            let socket: Box<dyn Connection> = Box::new(Socket { responder: outcome?, answer: Vec::new() });
            Ok(socket)
        })
    }

    fn verify(&self, signature: Signature) -> Future<Result<bool, HostError>> {
        Box::pin(async move { Ok(signature.signature == ACCEPTED_SIGNATURE) })
    }
}

struct Socket {
    responder: Responder,
    answer: Vec<u8>,
}

impl Connection for Socket {
    fn read(&mut self) -> Future<Result<Bytes, HostError>> {
        let answer = std::mem::take(&mut self.answer);
        Box::pin(async move { Ok(answer.into()) })
    }

    fn write(&mut self, bytes: Bytes) -> Future<Result<(), HostError>> {
        self.answer.extend((self.responder)(&bytes));
        Box::pin(async { Ok(()) })
    }
}
