//! One log file a part, one line an entry: time, then what the part said.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A file that is larger when its part starts is put aside as `<part>.log.old`.
const LARGE: u64 = 10 * 1024 * 1024;

/// Gets every line of every part, for a terminal that follows.
pub type Listener = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The open log of one part.
pub(crate) struct Log {
    part: String,
    file: Mutex<File>,
    listener: Option<Listener>,
}

impl Log {
    pub(crate) fn open(folder: &Path, part: &str, listener: Option<Listener>) -> Result<Arc<Self>> {
        let path = path(folder, part);
        if path.metadata().is_ok_and(|file| file.len() > LARGE) {
            let _ = std::fs::rename(&path, path.with_extension("log.old"));
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("opening the log {}", path.display()))?;
        Ok(Arc::new(Self { part: part.to_owned(), file: Mutex::new(file), listener }))
    }

    /// A line that the part wrote.
    pub(crate) fn line(&self, text: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not take the stack down; the part's own errors will tell.
        let _ = file.write_all(format_line(OffsetDateTime::now_utc(), text).as_bytes());
        if let Some(listener) = &self.listener {
            listener(&self.part, text);
        }
    }

    /// A line about the part, by us.
    pub(crate) fn note(&self, text: &str) {
        self.line(&format!("[ferry] {text}"));
    }
}

/// Where the log of a part is.
pub fn path(folder: &Path, part: &str) -> PathBuf {
    folder.join(format!("{part}.log"))
}

/// The last lines of a part's log, for an error message.
pub(crate) fn tail(folder: &Path, part: &str, lines: usize) -> String {
    let text = std::fs::read(path(folder, part)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    last.iter().flat_map(|line| ["\n  | ", line]).collect()
}

/// Milliseconds, so that the lines of several parts can be put in order.
fn format_line(at: OffsetDateTime, text: &str) -> String {
    let at = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    let stamp = at.format(&Rfc3339).unwrap_or_default();
    // Rfc3339 leaves out a fraction of zero; the column must not move.
    let stamp = match stamp.trim_end_matches('Z').split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<3}Z"),
        None => format!("{}.000Z", stamp.trim_end_matches('Z')),
    };
    format!("{stamp} {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_starts_with_a_time_of_constant_width() {
        let whole = OffsetDateTime::from_unix_timestamp(1_796_000_000).expect("a time");
        assert_eq!(format_line(whole, "hello"), "2026-11-30T00:53:20.000Z hello\n");
        let later = whole + time::Duration::microseconds(120_345);
        assert_eq!(format_line(later, ""), "2026-11-30T00:53:20.120Z \n");
    }
}
