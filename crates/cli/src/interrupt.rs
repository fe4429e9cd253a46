//! Ctrl-C, and being told to end: what a command has under way is cleared away first.

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Does the work, unless a signal ends it. Then the work is dropped, and with it go the programs and servers that
/// it started and the files that it has not finished.
///
/// From here on Ctrl-C does nothing else: what asks a person comes before.
///
/// # Errors
/// Those of the work; and when it was ended.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let done = tokio::select! {
        done = work => Some(done),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    match done {
        Some(done) => done,
        None => bail!("ended before it was done; nothing is left half done"),
    }
}
