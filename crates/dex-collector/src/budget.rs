//! When a run stops taking on work. A worker lives for 150 s and a request may use 2 s of CPU;
//! what is left stays due and the next tick takes it.

use std::cell::Cell;
use std::time::Duration;

use ironferry::{Context, Result};
use time::OffsetDateTime;

/// A run's limits, shared by all companies that it collects at once.
pub struct Budget {
    begins_until: OffsetDateTime,
    ends: OffsetDateTime,
    left: Cell<u32>,
    reserve: u32,
}

/// Leaves 30 s of a worker's 150 for what is under way.
const SECONDS: u64 = 120;
/// An outbound request costs about 0.3 ms of CPU with its parsing (docs/dex.md has the figures):
/// 4,500 of them, with the reserve, stay below 2 s with room to spare.
const REQUESTS: u32 = 4_000;
/// The part of both that comes on top for companies that were begun: 15 s and 500 requests, 20 for each of
/// 25 companies. One that is cut off has to log in and list again in the next run.
const RESERVE: u32 = 8;

impl Budget {
    /// Limits from `COLLECT_SECONDS` (120) and `COLLECT_REQUESTS` (4,000).
    pub fn new(cx: &Context) -> Result<Self> {
        let time = Duration::from_secs(cx.setting("COLLECT_SECONDS", SECONDS)?);
        let requests = cx.setting("COLLECT_REQUESTS", REQUESTS)?;
        let reserve = requests / RESERVE;
        let begins_until = cx.now() + time;
        Ok(Self {
            begins_until,
            ends: begins_until + time / RESERVE,
            left: Cell::new(requests.saturating_add(reserve)),
            reserve,
        })
    }

    /// Whether another company may be begun.
    pub fn may_begin(&self, cx: &Context) -> bool {
        self.left.get() > self.reserve && cx.now() < self.begins_until
    }

    /// Whether a company that was begun may be gone on with: an eighth longer.
    pub fn may_go_on(&self, cx: &Context) -> bool {
        self.left.get() > 0 && cx.now() < self.ends
    }

    /// Counts an outbound request.
    pub fn spend(&self) {
        self.left.set(self.left.get().saturating_sub(1));
    }
}
