//! Trying again: exponential backoff with full jitter.

use std::time::Duration;

use crate::{Context, Error, Result};

/// How often and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// How many times in all, the first included.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles from there.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
}

impl Default for Retry {
    /// 3 attempts; up to 200 ms, then up to 400 ms between them.
    fn default() -> Self {
        Self { attempts: 3, base: Duration::from_millis(200), cap: Duration::from_secs(5) }
    }
}

impl Retry {
    /// Runs the work until it succeeds, fails for good or the attempts are used up. Only
    /// [transient](Error::is_transient) errors are tried again: the work must be safe to repeat.
    pub async fn run<T, F, W>(self, cx: &Context, mut work: W) -> Result<T>
    where
        W: FnMut() -> F,
        F: Future<Output = Result<T>>,
    {
        let mut attempt = 1;
        loop {
            match work().await {
                Err(error) if error.is_transient() && attempt < self.attempts => {
                    cx.sleep(self.wait(cx, attempt)).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Between nothing and the doubled base: callers that failed together do not return together.
    fn wait(self, cx: &Context, attempt: u32) -> Duration {
        let ceiling = self.base.saturating_mul(1 << (attempt - 1).min(16)).min(self.cap);
        let share = f64::from(u32::from_le_bytes(cx.random())) / f64::from(u32::MAX);
        ceiling.mul_f64(share)
    }
}

/// Maps an upstream's HTTP status to an error: `None` for 2xx and 3xx.
pub fn status_error(status: http::StatusCode, who: &str) -> Option<Error> {
    match status.as_u16() {
        ..400 => None,
        408 | 504 => Some(Error::timeout(format!("{who} did not answer in time"))),
        429 => Some(Error::too_many_requests(format!("{who} asks to slow down"))),
        502 | 503 => Some(Error::unavailable(format!("{who} is not available"))),
        code => Some(Error::bad_gateway(format!("{who} answered {code}"))),
    }
}
