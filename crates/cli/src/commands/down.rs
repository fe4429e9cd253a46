//! `ferry down`: stops the stack, wherever it was started.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::stack::state::Folder;

/// The patience of all parts together, and some more.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn run(folder: &Folder) -> Result<ExitCode> {
    let Some(state) = folder.running() else {
        // A supervisor that was killed may have left parts behind.
        folder.repair();
        anstream::println!("No stack is running in {}.", folder.path().display());
        return Ok(ExitCode::SUCCESS);
    };
    let start = Instant::now();
    state.supervisor.signal(Signal::TERM);
    while state.supervisor.is_alive() {
        if start.elapsed() > PATIENCE {
            bail!("process {} does not end; `kill -9 {0}` ends it and all parts", state.supervisor.pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anstream::println!("Stopped after {:.1} s.", start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
