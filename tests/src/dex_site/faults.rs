//! What can go wrong with a site.

use std::time::Duration;

use serde::Deserialize;

/// How an account's requests fail.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Every answer takes so long.
    pub latency_ms: u64,
    /// What becomes of the list.
    pub list: Option<Fault>,
    /// What becomes of downloads.
    pub download: Option<Fault>,
    /// A session ends after so many requests.
    pub session_requests: Option<u64>,
    /// So many new captures appear with each page of the list.
    pub grows_by: u32,
}

impl Faults {
    /// Slow, and nothing else.
    #[must_use]
    pub fn slow(latency: Duration) -> Self {
        Self { latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), ..Self::default() }
    }
}

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An error status with Laravel's error page.
    Status(u16),
    /// 429 with `Retry-After`.
    TooMany,
    /// 200 with a page of HTML.
    Html,
    /// 200 with bytes that mean nothing.
    Garbage,
    /// No answer at all.
    Hang,
    /// The connection is cut in the middle of the body.
    CutOff,
    /// Half of the file, as if it were all.
    Truncated,
}
