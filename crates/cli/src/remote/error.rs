//! Why a project did not give what it was asked for, in words for whoever sits at the terminal.

use std::error::Error as _;
use std::time::Duration;

use url::Url;

/// What went wrong between `ferry` and a project. Never holds a key.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// A setting is missing or cannot be understood: wrong usage, exit code 2.
    #[error("{0}")]
    Setting(String),
    /// No connection, or it broke.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The project.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// No answer in time. What was asked for may still be done.
    #[error("{url} did not answer within {} s", .within.as_secs_f64())]
    TimedOut {
        /// The project.
        url: String,
        /// The patience.
        within: Duration,
    },
    /// 401: the key is not one of the project's.
    #[error("{key} was refused: {problem}")]
    KeyRefused {
        /// The key's name and where it was found.
        key: String,
        /// The answer.
        problem: String,
    },
    /// An answer other than success.
    #[error("{problem}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code: `COMPANY_NOT_FOUND`, `PGRST202`.
        code: Option<String>,
        /// The answer in one line: who, status, message, code, request id.
        problem: String,
    },
    /// Success, but in another shape than this `ferry` knows.
    #[error("{who} answered in an unexpected shape: {reason}")]
    Shape {
        /// Function, table or database function.
        who: String,
        /// What did not fit.
        reason: String,
    },
}

impl RemoteError {
    /// Whether the fault is in how `ferry` was called, not in the project.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Setting(_))
    }

    pub(super) fn of(error: &reqwest::Error, url: &Url, within: Duration) -> Self {
        let url = url.as_str().trim_end_matches('/').to_owned();
        if error.is_timeout() && !error.is_connect() {
            return Self::TimedOut { url, within };
        }
        if error.is_timeout() {
            return Self::Unreachable { url, reason: "no connection in time".to_owned() };
        }
        // The innermost error says it: "Connection refused (os error 111)".
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        Self::Unreachable { url, reason }
    }
}
