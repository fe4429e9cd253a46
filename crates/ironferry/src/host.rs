//! The port: everything a function may ask of the outside.
//!
//! Two hosts implement it: the one in `wasm.rs`, whose effects the Deno shim performs, and
//! that of [`testing::App`](crate::testing::App), which answers from a script.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response};

use crate::{Error, Secrets};

/// A future that need not be `Send`: a wasm instance has one thread.
pub type Future<T> = LocalBoxFuture<'static, T>;

/// What the outside offers. Handlers reach it through [`Context`](crate::Context).
pub trait Host {
    /// Milliseconds since 1970, UTC.
    fn now_ms(&self) -> f64;
    /// Milliseconds since some moment, with fractions. It goes on when somebody sets the clock.
    fn elapsed_ms(&self) -> f64;
    /// Fills the buffer from a cryptographic source.
    fn random(&self, buffer: &mut [u8]);
    /// The secrets that the function declared in its `index.ts`.
    fn secrets(&self) -> &Secrets;
    /// Writes one line to the function's log.
    fn log(&self, line: &str);
    /// Performs an HTTP request. Dropping the future aborts it.
    fn fetch(
        &self,
        request: Request<Bytes>,
        options: FetchOptions,
    ) -> Future<Result<Response<Bytes>, HostError>>;
    /// Waits.
    fn sleep(&self, duration: Duration) -> Future<()>;
    /// Runs a future as a task of its own, beside the reply and after it, as
    /// `EdgeRuntime.waitUntil` does. When it panics, it alone is lost, and `on_lost` is called.
    fn spawn(&self, work: Future<()>, on_lost: Box<dyn FnOnce()>);
    /// Reads, writes, removes or lists files below `/tmp`, the operations on one path one after another.
    fn file(&self, operation: FileOperation) -> Future<Result<Bytes, HostError>>;
    /// Opens a TCP connection, with TLS if asked.
    fn connect(&self, address: Address) -> Future<Result<Box<dyn Connection>, HostError>>;
    /// Verifies a JWT signature with the runtime's own cryptography.
    fn verify(&self, signature: Signature) -> Future<Result<bool, HostError>>;
}

/// How a fetch is performed.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// Time until the whole reply is there. The platform's own fetch has none.
    pub timeout: Duration,
    /// A reply with a larger body, in bytes, is an error.
    pub max_body: usize,
    /// Whether redirects are followed. A login form wants to see them.
    pub follow_redirects: bool,
    /// Whether the reply's headers are handed over. Going through them takes the runtime as long as a
    /// quarter of the fetch; the database's are of no interest.
    pub reply_headers: bool,
}

impl Default for FetchOptions {
    /// 10 s, 10 MB, redirects followed, with headers.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_body: 10_000_000,
            follow_redirects: true,
            reply_headers: true,
        }
    }
}

/// Why the outside could not do what it was asked.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// The time ran out.
    #[error("no answer in time")]
    Timeout,
    /// The reply was larger than allowed.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// There is no such file.
    #[error("not found")]
    NotFound,
    /// Everything else, in the runtime's words: refused, unreachable, cut off, no permission.
    #[error("{0}")]
    Failed(String),
}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Timeout => Error::timeout("a service did not answer in time"),
            HostError::TooLarge => Error::bad_gateway("a service sent more than is accepted"),
            HostError::NotFound => Error::internal("a file is missing"),
            HostError::Failed(_) => Error::unavailable("a service cannot be reached"),
        }
        .source(error)
    }
}

/// One operation on a file; paths are absolute. Operations on the same path run in the order in which they
/// were started.
///
/// The hosted platform has no `rename`, so a replacement is not atomic when a worker is killed or the disk
/// is full: begin a file with a checksum of its content. `/tmp` belongs to one worker and ends with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// Gives the content.
    Read(String),
    /// Creates or replaces, with the folders it needs.
    Write(String, Bytes),
    /// Removes.
    Remove(String),
    /// Gives the names of what is in a folder, a line each.
    List(String),
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken at once.
    pub tls: bool,
    /// A PEM certificate to trust besides the runtime's own.
    pub ca: Option<String>,
}

/// An open TCP connection; dropping it closes it.
pub trait Connection {
    /// Bytes as they arrive, at most 64 kB at a time; empty when the other side has closed.
    fn read(&mut self) -> Future<Result<Bytes, HostError>>;
    /// Writes all of it.
    fn write(&mut self, bytes: Bytes) -> Future<Result<(), HostError>>;
}

/// A signature to verify.
#[derive(Clone, Debug)]
pub struct Signature {
    /// `HS256`, `RS256` or `ES256`.
    pub algorithm: String,
    /// The key as a JSON Web Key.
    pub jwk: String,
    /// What was signed.
    pub message: Bytes,
    /// The signature, in JWS form.
    pub signature: Bytes,
}
