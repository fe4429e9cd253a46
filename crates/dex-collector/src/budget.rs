//! When a run stops taking on work. A worker lives for 150 s and a request may use 2 s of CPU;
//! what is left stays due and the next tick takes it.

use std::cell::Cell;
use std::time::Duration;

use ironferry::{Context, Result};
use time::OffsetDateTime;

/// A run's limits, shared by all companies that it collects at once.
pub struct Budget {
    ends: OffsetDateTime,
    requests: Cell<u32>,
}

/// Leaves 30 s of a worker's 150 for what is under way.
const SECONDS: u64 = 120;
/// An outbound request costs about 0.3 ms of CPU with its parsing (docs/dex.md has the figures):
/// 4,000 of them stay below 2 s with room to spare.
const REQUESTS: u32 = 4_000;

impl Budget {
    /// Limits from `COLLECT_SECONDS` (120) and `COLLECT_REQUESTS` (4,000).
    pub fn new(cx: &Context) -> Result<Self> {
        let seconds = cx.setting("COLLECT_SECONDS", SECONDS)?;
        let requests = cx.setting("COLLECT_REQUESTS", REQUESTS)?;
        Ok(Self { ends: cx.now() + Duration::from_secs(seconds), requests: Cell::new(requests) })
    }

    /// Whether new work may begin.
    pub fn is_open(&self, cx: &Context) -> bool {
        self.requests.get() > 0 && cx.now() < self.ends
    }

    /// Counts an outbound request.
    pub fn spend(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
    }
}
