//! When a run stops taking on work. A worker lives for 150 s and may use 2 s of CPU; what is left stays due
//! and the next tick takes it.

use std::cell::Cell;
use std::time::Duration;

use ironferry::{Context, Result};
use time::OffsetDateTime;

use crate::cpu::{self, Cpu, Share};

/// A run's limits, shared by all companies that it collects at once, and the CPU budget that all runs of the worker
/// share.
pub struct Budget {
    begins_until: OffsetDateTime,
    ends: OffsetDateTime,
    left: Cell<u32>,
    reserve: u32,
    cpu: Cpu,
    /// Whether the worker that collects for this run has no CPU left.
    is_refused: Cell<bool>,
}

/// Leaves 30 s of a worker's 150 for what is under way.
const SECONDS: u64 = 120;
/// Bounds a call where there is no CPU budget.
const REQUESTS: u32 = 4_000;
/// The part of both that comes on top for companies that were begun: 15 s and 500 requests, 20 for each of
/// 25 companies. One that is cut off has to log in and list again in the next run.
const RESERVE: u32 = 8;

impl Budget {
    /// Limits from `COLLECT_SECONDS` (120), `COLLECT_REQUESTS` (4,000) and `COLLECT_CPU_MS` (800).
    pub fn new(cx: &Context) -> Result<Self> {
        let time = Duration::from_secs(cx.setting("COLLECT_SECONDS", SECONDS)?);
        let requests = cx.setting("COLLECT_REQUESTS", REQUESTS)?;
        let begins_until = cx.now() + time;
        let reserve = requests / RESERVE;
        Ok(Self {
            begins_until,
            ends: begins_until + time / RESERVE,
            left: Cell::new(requests.saturating_add(reserve)),
            reserve,
            cpu: Cpu::new(cx)?,
            is_refused: Cell::new(false),
        })
    }

    /// Whether another company may be begun.
    pub fn may_begin(&self, cx: &Context) -> bool {
        self.left.get() > self.reserve && cx.now() < self.begins_until && !self.is_cpu_spent()
    }

    /// Whether a company that was begun may be gone on with: an eighth longer.
    pub fn may_go_on(&self, cx: &Context) -> bool {
        self.is_open(cx) && self.cpu.has_rest()
    }

    /// Whether another capture may be downloaded, at the cost of the company's share of the CPU budget.
    pub(crate) fn may_download(&self, cx: &Context, share: &Share) -> bool {
        self.is_open(cx) && share.pay_capture()
    }

    fn is_open(&self, cx: &Context) -> bool {
        self.left.get() > 0 && cx.now() < self.ends && !self.is_refused.get()
    }

    /// Whether the CPU budget leaves nothing for another company: that of this worker, or of the one that collects
    /// for it.
    pub fn is_cpu_spent(&self) -> bool {
        self.is_refused.get() || !self.cpu.may_begin()
    }

    /// 503 `CPU_BUDGET_SPENT` when the CPU budget leaves nothing for another company.
    pub fn require_cpu(&self) -> Result<()> {
        if self.is_cpu_spent() { Err(cpu::spent_error()) } else { Ok(()) }
    }

    /// Counts an outbound request.
    pub fn spend(&self) {
        self.left.set(self.left.get().saturating_sub(1));
        cpu::spend_request();
    }

    /// Ends the run's work because the worker that collects for it has spent its CPU budget.
    pub fn refuse(&self) {
        self.is_refused.set(true);
    }

    /// The milliseconds of CPU that the worker has spent so far, as counted.
    pub fn cpu_ms(&self) -> u64 {
        cpu::spent_ms()
    }

    /// Sets CPU aside for a company.
    pub(crate) fn share(&self) -> Share {
        self.cpu.share()
    }
}
