//! One request's view of the outside. Nothing below a handler reads a clock, draws a random
//! number or speaks to the network but through it.

use std::cell::RefCell;
use std::rc::Rc;
use std::str::FromStr;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use serde_json::Value;
use time::OffsetDateTime;

use crate::app::X_REQUEST_ID;
use crate::auth::{self, Credentials, User};
use crate::db::{Database, Role};
use crate::host::{Connection, Future};
use crate::log::{self, Level};
use crate::{Address, Error, FetchOptions, FileOperation, Host, HostError, Request, Result, Secret};

/// Cheap to clone; a clone may be moved into [`Context::wait_until`].
#[derive(Clone)]
pub struct Context(Rc<Inner>);

struct Inner {
    host: Rc<dyn Host>,
    request_id: String,
    credentials: Credentials,
    level: Level,
}

impl Context {
    /// The context of one request.
    pub fn new(host: Rc<dyn Host>, request: &Request) -> Self {
        let request_id = request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let request_id = request_id.unwrap_or("none").to_owned();
        let level = host.secrets().level;
        let credentials = Credentials::of(request);
        Self(Rc::new(Inner { host, request_id, credentials, level }))
    }

    /// The id that every log line and every error reply of this request carries.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// Now, UTC.
    pub fn now(&self) -> OffsetDateTime {
        #[allow(clippy::cast_possible_truncation)] // milliseconds fit for 285,000 years
        let nanos = (self.0.host.now_ms() * 1_000.0) as i128 * 1_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Milliseconds since some moment, with fractions, for measuring how long something takes: it
    /// goes on when somebody sets the clock.
    pub fn elapsed_ms(&self) -> f64 {
        self.0.host.elapsed_ms()
    }

    /// Random bytes from a cryptographic source.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.host.random(&mut bytes);
        bytes
    }

    /// A random UUID, version 4.
    pub fn uuid(&self) -> String {
        let mut bytes = self.random::<16>();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        }
        text
    }

    /// A secret that the function declared; `None` when it is not set or empty.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.0.host.secrets().get(name)
    }

    /// A secret that must be there: 500 `MISSING_SECRET` otherwise.
    pub fn require_secret(&self, name: &str) -> Result<&Secret> {
        self.secret(name).ok_or_else(|| Error::missing_secret(name))
    }

    /// A setting, or its default where it is not set. 500 `INVALID_SETTING` when it does not parse.
    pub fn setting<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.secret(name) {
            None => Ok(default),
            Some(text) => text.expose().trim().parse().map_err(|_| {
                Error::internal(format!("{name} has a value that cannot be used")).code("INVALID_SETTING")
            }),
        }
    }

    /// Performs an HTTP request with the default [`FetchOptions`].
    pub async fn fetch(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HostError> {
        self.fetch_with(request, FetchOptions::default()).await
    }

    /// Performs an HTTP request.
    pub async fn fetch_with(
        &self,
        request: http::Request<Bytes>,
        options: FetchOptions,
    ) -> Result<http::Response<Bytes>, HostError> {
        self.0.host.fetch(request, options).await
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        self.0.host.sleep(duration).await;
    }

    /// Gives up on a future after a while, dropping it: what it had under way is aborted.
    pub async fn within<T>(
        &self,
        limit: Duration,
        work: impl std::future::Future<Output = T>,
    ) -> Result<T, HostError> {
        match select(std::pin::pin!(work), self.0.host.sleep(limit)).await {
            Either::Left((value, _)) => Ok(value),
            Either::Right(((), _)) => Err(HostError::Timeout),
        }
    }

    /// Goes on with a piece of work after the reply has gone out. When it panics, that is logged.
    pub fn wait_until(&self, work: impl std::future::Future<Output = ()> + 'static) {
        self.0.host.spawn(Box::pin(work), Box::new(|| {}));
    }

    /// Runs a piece of work that must not take others with it: when it panics, it alone is lost and
    /// this gives 500 `CRASHED`.
    pub async fn isolated<T: 'static>(
        &self,
        work: impl std::future::Future<Output = T> + 'static,
    ) -> Result<T> {
        let task = Rc::new(Joined::default());
        let (inside, lost) = (task.clone(), task.clone());
        let work: Future<()> = Box::pin(async move { inside.end(State::Ended(work.await)) });
        self.0.host.spawn(work, Box::new(move || lost.end(State::Lost)));
        std::future::poll_fn(|cx| task.poll(cx))
            .await
            .ok_or_else(|| Error::internal("a part of the function crashed").code("CRASHED"))
    }

    /// Reads, writes, removes or lists files below `/tmp`, which ends with the worker.
    pub async fn file(&self, operation: FileOperation) -> Result<Bytes, HostError> {
        self.0.host.file(operation).await
    }

    /// Opens a TCP connection.
    pub async fn connect(&self, address: Address) -> Result<Box<dyn Connection>, HostError> {
        self.0.host.connect(address).await
    }

    /// 401 unless the request shows a service key: `SERVICE_API_KEY` in `X-Service-Key`, or a
    /// secret key of the project.
    pub fn require_service(&self) -> Result<()> {
        auth::require_service(self)
    }

    /// Whether the request shows a service key at all, right or wrong.
    pub fn shows_service_key(&self) -> bool {
        self.0.credentials.service_key().is_some()
    }

    /// The user whose JWT the request carries; 401 when it does not verify.
    pub async fn require_user(&self) -> Result<User> {
        auth::require_user(self).await
    }

    /// The database as the service role, which row-level security does not bind.
    pub fn db(&self) -> Database {
        Database::new(self.clone(), Role::Service)
    }

    /// The database as the caller: row-level security applies.
    pub fn db_as_user(&self) -> Database {
        Database::new(self.clone(), Role::Caller)
    }

    /// Writes a log line: an event name, `function.what_happened`, and its fields.
    pub fn log(&self, level: Level, event: &str, fields: Value) {
        if self.logs(level) {
            let line = log::line(level, event, &self.0.request_id, fields);
            self.0.host.log(&self.0.host.secrets().scrub(line));
        }
    }

    /// Whether a line of this level is written, where making its fields is work.
    pub fn logs(&self, level: Level) -> bool {
        level >= self.0.level
    }

    /// Logs at level info.
    pub fn info(&self, event: &str, fields: Value) {
        self.log(Level::Info, event, fields);
    }

    /// Logs at level warn.
    pub fn warn(&self, event: &str, fields: Value) {
        self.log(Level::Warn, event, fields);
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    pub(crate) fn host(&self) -> &Rc<dyn Host> {
        &self.0.host
    }
}

/// Where an isolated task leaves what became of it.
struct Joined<T> {
    state: RefCell<State<T>>,
    waker: RefCell<Option<Waker>>,
}

enum State<T> {
    Running,
    Ended(T),
    Lost,
}

impl<T> Default for Joined<T> {
    fn default() -> Self {
        Self { state: RefCell::new(State::Running), waker: RefCell::new(None) }
    }
}

impl<T> Joined<T> {
    fn end(&self, state: State<T>) {
        self.state.replace(state);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Nothing when the task was lost.
    fn poll(&self, cx: &std::task::Context<'_>) -> Poll<Option<T>> {
        match self.state.replace(State::Running) {
            State::Ended(value) => Poll::Ready(Some(value)),
            State::Lost => Poll::Ready(None),
            State::Running => {
                self.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}
