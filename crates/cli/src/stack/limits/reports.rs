//! What a worker says of itself. The other side is `runtime/limits.ts`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::meter::Sample;

/// Begins each line of standard output that is a report and no output of the function.
const MARK: char = '\u{1e}';

/// What one process has said.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    begun: OnceLock<Sample>,
    memory: AtomicU64,
    answers: AtomicU32,
    loaded: AtomicBool,
    out_of_memory: AtomicBool,
}

impl Reports {
    /// Takes a line; false when it is the function's own.
    pub(crate) fn take(&self, line: &str, pid: u32) -> bool {
        let Some(report) = line.strip_prefix(MARK) else {
            // The heap is V8's to limit, and these are its last words.
            if line.contains("JavaScript out of memory") {
                self.out_of_memory.store(true, Ordering::Relaxed);
            }
            return false;
        };
        match report.split_once(' ').unwrap_or((report, "")) {
            ("begun", _) => self.begin(pid),
            ("loaded", _) => {
                self.begin(pid);
                self.loaded.store(true, Ordering::Relaxed);
            }
            ("memory", bytes) => {
                self.memory.store(bytes.parse().unwrap_or_default(), Ordering::Relaxed);
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        true
    }

    fn begin(&self, pid: u32) {
        self.begun.get_or_init(|| Sample::of(pid).unwrap_or_default());
    }

    /// What the process had used when it began with the function.
    pub(super) fn begun(&self) -> Option<Sample> {
        self.begun.get().copied()
    }

    /// Bytes of heap, buffers and wasm memories, at the last report.
    pub(super) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// How often it has told its memory.
    pub(super) fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether the function's module has been evaluated, or was about to be when it threw.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Whether V8 gave up at the limit of its heap.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.out_of_memory.load(Ordering::Relaxed)
    }
}
