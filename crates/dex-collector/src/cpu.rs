//! The CPU budget that all collections of one worker share.
//!
//! The hosted platform adds up a worker's CPU time over all its requests. At 1 s the worker is given no further
//! request; at 2 s it is killed with everything under way. A module cannot read its CPU time (`performance.now` is
//! wall clock), so each piece of work is counted at its measured cost (docs/performance.md, "CPU of a collection").

use std::cell::Cell;

use http::HeaderValue;
use http::header::RETRY_AFTER;
use ironferry::{Context, Error, Kind, Result};

/// Code of a call that finds the budget spent.
pub const CPU_BUDGET_SPENT: &str = "CPU_BUDGET_SPENT";

/// Default budget in milliseconds: below the soft limit, and below the hard one on a machine half as fast.
const BUDGET_MS: u64 = 800;
/// Costs in microseconds. `START`: the start of a worker.
const START: u64 = 100_000;
/// A request, to a site or the database, with its reply.
const REQUEST: u64 = 350;
/// Each KiB of a site's reply.
const KIB: u64 = 28;
/// Parsing a capture, computing its sales and serializing it, on top of its request.
const CAPTURE: u64 = 200;
/// All that one capture costs: the above with 5 KiB, and its part of the requests that store 20 at a time.
const CAPTURE_IN_ALL: u64 = CAPTURE + REQUEST + 5 * KIB + REQUEST / 10;
/// Login, list and lookup of a company.
const BEGIN: u64 = 5 * REQUEST;
/// New captures that a company is expected to have until its list is known.
const EXPECTED: u64 = 5;
/// Storing the last captures and reporting.
const FINISH: u64 = 3 * REQUEST;
/// The fraction of the budget, one eighth, in which no further company is begun.
const RESERVE: u64 = 8;
/// How long a count lasts. A hosted worker is given no request later than 200 s after its start, half of its 400 s.
/// A worker that still gets requests later runs without these limits, where a count without end would stop
/// collection for good.
const COUNTED_MS: f64 = 240_000.0;

thread_local! {
    static WORKER: Worker =
        const { Worker { since_ms: Cell::new(-1.0), spent: Cell::new(0), held: Cell::new(0) } };
}

/// The count of this worker, in microseconds. An instance of the module lives as long as its worker.
struct Worker {
    since_ms: Cell<f64>,
    spent: Cell<u64>,
    /// The sum of all shares.
    held: Cell<u64>,
}

/// The budget as one call sees it.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    limit: u64,
}

impl Cpu {
    /// Reads `COLLECT_CPU_MS` (800; 0 turns the budget off) and counts the call.
    pub(crate) fn new(cx: &Context) -> Result<Self> {
        let limit = match cx.setting("COLLECT_CPU_MS", BUDGET_MS)? {
            0 => u64::MAX,
            milliseconds => milliseconds.saturating_mul(1_000),
        };
        let now = cx.elapsed_ms();
        WORKER.with(|worker| {
            let since = worker.since_ms.get();
            if since < 0.0 || now < since || now - since > COUNTED_MS {
                worker.since_ms.set(now);
                worker.spent.set(START);
                // Shares that crashed companies never returned.
                worker.held.set(0);
            }
        });
        spend_request();
        Ok(Self { limit })
    }

    /// Whether another company may be begun.
    pub(crate) fn may_begin(self) -> bool {
        used() < self.limit - self.limit / RESERVE
    }

    /// Whether anything is left.
    pub(crate) fn has_rest(self) -> bool {
        used() < self.limit
    }

    /// Sets CPU aside for a company.
    pub(crate) fn share(self) -> Share {
        let share = Share { limit: self.limit, held: Cell::new(0) };
        share.hold(BEGIN + EXPECTED * CAPTURE_IN_ALL + FINISH);
        share
    }
}

/// The CPU set aside for a company under way, so that what was begun is finished within the budget.
pub(crate) struct Share {
    limit: u64,
    held: Cell<u64>,
}

impl Share {
    /// Sets aside what this many new captures cost, or what the other companies leave of it.
    pub(crate) fn expect(&self, captures: usize) {
        let wanted = u64::try_from(captures).unwrap_or(u64::MAX).saturating_mul(CAPTURE_IN_ALL);
        let free = self.limit.saturating_sub(self.others() + FINISH);
        self.hold(wanted.min(free) + FINISH);
    }

    /// Pays for a capture before it is downloaded; false when the budget has nothing left for it.
    pub(crate) fn pay_capture(&self) -> bool {
        if self.others() + CAPTURE_IN_ALL + FINISH > self.limit {
            return false;
        }
        self.hold(self.held.get().saturating_sub(CAPTURE_IN_ALL).max(FINISH));
        spend(CAPTURE);
        true
    }

    /// What is spent, and set aside for other companies.
    fn others(&self) -> u64 {
        used().saturating_sub(self.held.get())
    }

    fn hold(&self, cost: u64) {
        WORKER.with(|worker| worker.held.set(worker.held.get().saturating_sub(self.held.get()) + cost));
        self.held.set(cost);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}

/// Counts a request with its reply.
pub(crate) fn spend_request() {
    spend(REQUEST);
}

/// Counts the length of a site's reply.
pub(crate) fn spend_reply(bytes: usize) {
    spend(u64::try_from(bytes / 1_024).unwrap_or(u64::MAX).saturating_mul(KIB));
}

/// The milliseconds that this worker has spent so far, as counted.
pub(crate) fn spent_ms() -> u64 {
    WORKER.with(|worker| worker.spent.get() / 1_000)
}

/// 503, to be repeated when the count is over.
pub(crate) fn spent_error() -> Error {
    Error::new(Kind::Unavailable, "this worker has spent its CPU budget: try again in five minutes")
        .code("CPU_BUDGET_SPENT")
        .header(RETRY_AFTER, HeaderValue::from_static("300"))
}

fn spend(cost: u64) {
    WORKER.with(|worker| worker.spent.set(worker.spent.get().saturating_add(cost)));
}

fn used() -> u64 {
    WORKER.with(|worker| worker.spent.get().saturating_add(worker.held.get()))
}
