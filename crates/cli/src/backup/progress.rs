//! What is going on, on one line of a terminal. Nothing elsewhere: logs are for results.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Often enough to look alive.
const EVERY: Duration = Duration::from_millis(100);
const WIDTH: u64 = 24;

/// A line that is written again and again.
pub struct Progress {
    is_shown: bool,
    last: Mutex<Option<Instant>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::on_terminal()
    }
}

impl Progress {
    /// On the standard error output, where that is a terminal.
    pub fn on_terminal() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), last: Mutex::new(None) }
    }

    /// Nowhere.
    pub fn silent() -> Self {
        Self { is_shown: false, last: Mutex::new(None) }
    }

    /// `[########------------] 12/40 what`
    pub(crate) fn show(&self, done: u64, total: u64, what: &str) {
        if !self.is_shown || !self.is_due() {
            return;
        }
        let _ = write!(std::io::stderr(), "\r\x1b[2K{}", bar(done, total, what));
        let _ = std::io::stderr().flush();
    }

    fn is_due(&self) -> bool {
        let Ok(mut last) = self.last.lock() else { return false };
        let is_due = last.is_none_or(|last| last.elapsed() >= EVERY);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
            let _ = std::io::stderr().flush();
        }
    }
}

fn bar(done: u64, total: u64, what: &str) -> String {
    let filled = (done.min(total) * WIDTH).checked_div(total).unwrap_or(0);
    let (full, empty) = (
        "#".repeat(usize::try_from(filled).unwrap_or(0)),
        "-".repeat(usize::try_from(WIDTH - filled).unwrap_or(0)),
    );
    let what: String = what.chars().filter(|char| !char.is_control()).take(60).collect();
    format!("[{full}{empty}] {done}/{total} {what}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_fills_and_does_not_overflow() {
        assert_eq!(super::bar(0, 0, "a"), "[------------------------] 0/0 a");
        assert_eq!(super::bar(20, 40, "b\u{7}"), "[############------------] 20/40 b");
        assert!(super::bar(50, 40, "c").starts_with("[########################]"));
    }
}
