//! What `ferry` keeps about a running stack, so that another `ferry` finds it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process, kill_process_group, test_kill_process};
use serde::{Deserialize, Serialize};

use super::files::{make_closed_folder, write_private};
use super::process::pid;

/// What a thread beside us is just starting has a copy of each open file until its program begins, and with it
/// the lock of a stack that has ended.
const LOCK_PASSES_WITHIN: Duration = Duration::from_secs(10);

/// The stack, as `state.json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The process that supervises.
    pub supervisor: ProcessId,
    /// Whether everything had started.
    pub ready: bool,
    /// `http://127.0.0.1:54321`
    pub api_url: String,
    /// As role `postgres`.
    pub db_url: String,
    /// `redis://127.0.0.1:54379`
    pub redis_url: String,
    /// In the order of their start.
    pub parts: Vec<PartState>,
}

/// One part of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartState {
    /// `postgres`, `redis`, `rest`, `pg_net`, `gateway`, or a function's name.
    pub name: String,
    /// Whether it is an Edge Function.
    pub function: bool,
    /// None for the parts that are tasks of the supervisor, and while it is not running.
    pub process: Option<ProcessId>,
    /// Where it listens on 127.0.0.1.
    pub port: Option<u16>,
    /// `running`, `restarting` or `stopped`.
    pub life: String,
}

/// A process that cannot be taken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
}

impl ProcessId {
    /// The process with this number, when there is one.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)? })
    }

    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_time(pid).unwrap_or(0) }
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Sends a signal, when it still runs.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = pid(self.pid).filter(|_| self.is_alive()) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Field 22 of `/proc/<pid>/stat`. Zombies do not count.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may contain any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (*fields.first()? != "Z").then_some(())?;
    fields.get(19)?.parse().ok()
}

/// Where the state of a project is.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// `.ferry` of a project.
    pub fn of_project(project: &Path) -> Self {
        Self(project.join(".ferry"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the logs are, `<part>.log`.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Where the keys are.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    /// What the supervisor in the background prints.
    pub fn output(&self) -> PathBuf {
        self.0.join("up.txt")
    }

    fn file(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// The stack that runs there now.
    pub fn running(&self) -> Option<State> {
        let state = self.read()?;
        state.supervisor.is_alive().then_some(state)
    }

    fn read(&self) -> Option<State> {
        serde_json::from_slice(&std::fs::read(self.file()).ok()?).ok()
    }

    pub(crate) fn write(&self, state: &State) -> Result<()> {
        write_private(&self.file(), &serde_json::to_vec_pretty(state)?)
    }

    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(self.file());
    }

    /// Takes the folder for one supervisor, until the file is dropped.
    ///
    /// # Errors
    /// When another one has it.
    pub(crate) fn take(&self) -> Result<File> {
        self.take_within(LOCK_PASSES_WITHIN)
    }

    fn take_within(&self, patience: Duration) -> Result<File> {
        make_closed_folder(&self.0, 0o711)?;
        make_closed_folder(&self.logs(), 0o700)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.0.join("lock"))?;
        let start = Instant::now();
        loop {
            let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) else { return Ok(file) };
            if self.running().is_some() || start.elapsed() >= patience {
                return Err(error).with_context(|| {
                    format!("a stack is running in {} already; `ferry down` stops it", self.0.display())
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends what a supervisor left behind that did not end well.
    pub(crate) fn repair(&self) {
        let Some(state) = self.read() else { return };
        let left: Vec<ProcessId> =
            state.parts.iter().filter_map(|part| part.process).filter(|process| process.is_alive()).collect();
        let patience = Instant::now() + Duration::from_secs(10);
        for process in left.iter().rev() {
            // SIGINT is what Postgres takes for "soon"; the others end by it as well.
            process.signal(Signal::INT);
            while process.is_alive() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
            if let Some(group) =
                pid(process.pid).filter(|pid| process.is_alive() && test_kill_process(*pid).is_ok())
            {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_and_its_number_alone_is_not_enough() {
        let own = ProcessId::own();
        assert!(own.is_alive());
        assert!(!ProcessId { started: own.started + 1, ..own }.is_alive());
        assert_eq!(ProcessId::of(own.pid), Some(own));
    }

    #[test]
    fn a_folder_is_taken_once() {
        let path = std::env::temp_dir().join(format!("ferry-state-{}", std::process::id()));
        let folder = Folder::at(&path);
        let taken = folder.take().expect("free");
        assert!(folder.take_within(Duration::ZERO).is_err());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                drop(taken);
            });
            folder.take().expect("free in a moment");
        });
        std::fs::remove_dir_all(path).expect("removed");
    }
}
