//! The limits of workers: what a worker may use, what it has used, and why it ended.
//!
//! `meter` measures, `reports` is what workers say of themselves; `process` supervises them with it, the gateway sends
//! them requests, and `parts/workers` replaces them.

mod meter;
mod reports;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::worker::WorkerFolder;
pub(crate) use meter::{Finding, Meter};
pub(crate) use reports::Reports;

/// What a worker may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time after which a worker takes no new requests and ends when it is idle.
    pub cpu_soft: Duration,
    /// CPU time after which it is killed. Both count from the evaluation of the function's module.
    pub cpu_hard: Duration,
    /// Bytes of V8's heap, of buffers and of wasm memories at which it is killed. An idle worker with more than
    /// half of that is dropped.
    pub memory: u64,
    /// Time from its first request after which it is killed. From half of it on it takes no new requests and
    /// ends when it is idle.
    pub wall_clock: Duration,
}

impl Limits {
    /// The hosted platform's, on its free plan.
    pub const HOSTED: Self = Self {
        cpu_soft: Duration::from_secs(1),
        cpu_hard: Duration::from_secs(2),
        memory: 256 * 1024 * 1024,
        wall_clock: Duration::from_secs(150),
    };
}

/// How the worker of a function is supervised.
#[derive(Clone, Debug)]
pub(crate) struct Supervision {
    pub(crate) function: String,
    pub(crate) folder: WorkerFolder,
    /// None: it may use what the machine has.
    pub(crate) limits: Option<Limits>,
    /// Receives the function's name when its worker takes no more requests and another is needed.
    pub(crate) retirements: mpsc::UnboundedSender<(String, Reason)>,
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was idle above half of its memory, or past half of its time.
    EarlyDrop,
    /// The limit of CPU time.
    Cpu,
    /// The limit of memory.
    Memory,
    /// The limit of wall-clock time.
    WallClock,
    /// The stack stops, or a file or a secret of the function changed.
    Termination,
    /// An error of the function.
    Error,
    /// An error before the function's module was evaluated.
    Boot,
}

impl Reason {
    /// The name in `ferry logs` and in `beforeunload`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EarlyDrop => "early_drop",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::WallClock => "wall_clock",
            Self::Termination => "termination",
            Self::Error | Self::Boot => "error",
        }
    }
}

/// What the gateway and the supervisor tell each other about the process of a function.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Requests under way.
    active: AtomicU32,
    /// The process that was seen listening last.
    listening: AtomicU32,
    /// Whether the present process has been sent a request.
    used: AtomicBool,
    /// Whether it takes no more requests.
    retired: AtomicBool,
    /// The process that ended last, and why.
    ended: Mutex<Option<(u32, Reason)>>,
}

impl Traffic {
    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.active.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn set_listening(&self, pid: u32) {
        self.listening.store(pid, Ordering::Relaxed);
    }

    /// Whether this process was seen listening, now or before it ended.
    pub(crate) fn has_listened(&self, pid: u32) -> bool {
        self.listening.load(Ordering::Relaxed) == pid
    }

    /// Starts the clock of the present process.
    pub(crate) fn set_used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Notes that a process has ended; the next one is new.
    pub(crate) fn end(&self, pid: u32, reason: Reason) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some((pid, reason));
        self.used.store(false, Ordering::Relaxed);
    }

    /// Returns why this process ended, when it was the last one that did.
    pub(crate) fn end_of(&self, pid: u32) -> Option<Reason> {
        let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.filter(|(known, _)| *known == pid).map(|(_, reason)| reason)
    }
}

/// A request under way, until the last byte of its response.
#[derive(Debug)]
pub(crate) struct Active(Arc<Traffic>);

impl Active {
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
