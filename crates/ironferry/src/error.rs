//! The one error type of a function, and how it turns into a reply.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// What a handler and all below it return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by who has to act on it. Each kind has one HTTP status and
/// one default code; [docs/errors.md] lists them.
///
/// [docs/errors.md]: https://github.com/ironferry/ironferry/blob/main/docs/errors.md
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400. The request cannot be understood.
    BadRequest,
    /// 401. No credentials, or wrong ones.
    Unauthorized,
    /// 403. Right credentials, no permission.
    Forbidden,
    /// 404. Nothing is there.
    NotFound,
    /// 405. The path exists, the method does not.
    MethodNotAllowed,
    /// 409. Somebody else is at it, or it is already there.
    Conflict,
    /// 410. It was there and has expired.
    Gone,
    /// 413. The body is larger than the function accepts.
    TooLarge,
    /// 415. The body is of a type the function does not read.
    UnsupportedMediaType,
    /// 429. Too many requests.
    TooManyRequests,
    /// 500. Our fault: a bug or a missing setting.
    Internal,
    /// 502. A service we depend on answered wrongly.
    BadGateway,
    /// 503. A service we depend on is not there; try again.
    Unavailable,
    /// 504. A service we depend on did not answer in time.
    Timeout,
}

impl Kind {
    /// Every kind, in the order of its status.
    pub const ALL: [Kind; 14] = [
        Kind::BadRequest,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::Conflict,
        Kind::Gone,
        Kind::TooLarge,
        Kind::UnsupportedMediaType,
        Kind::TooManyRequests,
        Kind::Internal,
        Kind::BadGateway,
        Kind::Unavailable,
        Kind::Timeout,
    ];

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Gone => StatusCode::GONE,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::BadGateway => StatusCode::BAD_GATEWAY,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The code that a reply carries when the error names no better one.
    pub const fn code(self) -> &'static str {
        match self {
            Kind::BadRequest => "BAD_REQUEST",
            Kind::Unauthorized => "UNAUTHORIZED",
            Kind::Forbidden => "FORBIDDEN",
            Kind::NotFound => "NOT_FOUND",
            Kind::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Kind::Conflict => "CONFLICT",
            Kind::Gone => "GONE",
            Kind::TooLarge => "BODY_TOO_LARGE",
            Kind::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Kind::TooManyRequests => "TOO_MANY_REQUESTS",
            Kind::Internal => "INTERNAL",
            Kind::BadGateway => "BAD_GATEWAY",
            Kind::Unavailable => "UNAVAILABLE",
            Kind::Timeout => "TIMEOUT",
        }
    }
}

/// An error on its way to a reply: the message is for the caller, the source
/// for the log only.
///
/// ```
/// use ironferry::Error;
///
/// let error = Error::conflict("this company is being collected").code("COLLECTING");
/// assert_eq!(error.status(), 409);
/// assert_eq!(error.to_string(), "this company is being collected");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    details: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    source: Option<Box<dyn std::error::Error>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(Kind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// 400. Say which field and what would be right.
    bad_request => BadRequest,
    /// 401.
    unauthorized => Unauthorized,
    /// 403.
    forbidden => Forbidden,
    /// 409.
    conflict => Conflict,
    /// 410.
    gone => Gone,
    /// 413.
    too_large => TooLarge,
    /// 415.
    unsupported_media_type => UnsupportedMediaType,
    /// 429. Add `Retry-After` with [`Error::header`].
    too_many_requests => TooManyRequests,
    /// 500. The caller reads the message: keep the cause in [`Error::source`].
    internal => Internal,
    /// 502.
    bad_gateway => BadGateway,
    /// 503.
    unavailable => Unavailable,
    /// 504.
    timeout => Timeout,
}

impl Error {
    /// An error of this kind with the kind's own code.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::build(kind, message.into())
    }

    // Errors are made in many places and seldom: one copy of this serves them all.
    #[cold]
    #[inline(never)]
    fn build(kind: Kind, message: Cow<'static, str>) -> Self {
        let code = Cow::Borrowed(kind.code());
        Self(Box::new(Inner { kind, code, message, details: None, headers: Vec::new(), source: None }))
    }

    /// 404 for a path that no route answers.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "there is nothing at this path")
    }

    /// 405, with the `Allow` header that the status demands, e.g. `"GET, POST"`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Kind::MethodNotAllowed, format!("use {allow} here"))
            .header(http::header::ALLOW, HeaderValue::from_static(allow))
    }

    /// 500 for a secret or setting that the operator has not set.
    pub fn missing_secret(name: &str) -> Self {
        Self::internal(format!("{name} is not configured on the server")).code("MISSING_SECRET")
    }

    /// Replaces the code. Codes are UPPER_SNAKE, stable, and listed in docs/errors.md.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = code.into();
        self
    }

    /// Adds machine-readable details that the caller may see.
    #[must_use]
    pub fn details(mut self, details: impl Into<Value>) -> Self {
        self.0.details = Some(details.into());
        self
    }

    /// Adds a header to the reply.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Keeps the cause, for the log only.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The HTTP status of the reply.
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// The stable code of the reply.
    pub fn as_code(&self) -> &str {
        &self.0.code
    }

    /// The details of the reply.
    pub fn as_details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// Whether the same call may succeed later: 429, 502, 503 and 504.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, Kind::TooManyRequests | Kind::BadGateway | Kind::Unavailable | Kind::Timeout)
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The message with its causes, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.0.source.as_deref();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status().as_u16(), self.0.code, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_reaches_the_log_and_not_the_message() {
        let error = Error::internal("the credentials cannot be read").source("tag mismatch");
        assert_eq!(error.to_string(), "the credentials cannot be read");
        assert_eq!(error.chain(), "the credentials cannot be read: tag mismatch");
    }

    #[test]
    fn every_kind_has_its_own_status_and_code() {
        let mut seen: Vec<_> = Kind::ALL.iter().map(|kind| (kind.status(), kind.code())).collect();
        seen.dedup_by_key(|(status, _)| *status);
        assert_eq!(seen.len(), Kind::ALL.len());
    }
}
