//! One child process, kept alive: started, logged, restarted when it dies, stopped when asked.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::logs::Log;
use super::tools;
use super::worker::{WorkerFolder, execution_id};

/// The first restart comes at once, so that a killed function is back within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A part that cannot run is tried this seldom.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A part that ran this long was well: its next restart is a first one again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// A hosted worker lives that long, whatever it has under way.
const LONGEST_LIFE: Duration = Duration::from_secs(400);

/// What to run, and how to end it.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
    /// The folder that each process of an Edge Function gets empty, and that ends with it.
    pub(crate) worker: Option<WorkerFolder>,
    /// User and group to run as, when not our own.
    pub(crate) user: Option<(u32, u32)>,
    /// What asks this program to end well.
    pub(crate) stop_signal: Signal,
    /// After that it is killed.
    pub(crate) patience: Duration,
}

impl Spec {
    /// The command, which the kernel ends when we die without having ended it ourselves.
    pub(crate) fn command(&self) -> Command {
        let mut command = match tools::setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.arg("--pdeathsig").arg(signal_name(self.stop_signal)).arg("--").arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(&self.args).env_clear().envs(self.env.iter().cloned()).current_dir(&self.folder);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        // A group of its own: Ctrl-C in the terminal is for us, who end the parts in order.
        command.process_group(0).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Removes what ends with the process.
    fn clean_up(&self, log: &Log) {
        if let Some(Err(error)) = self.worker.as_ref().map(WorkerFolder::remove) {
            log.note(&format!("{error:#}"));
        }
    }

    fn spawn(&self, log: &Arc<Log>) -> Result<Child> {
        let mut command = self.command();
        if let Some(worker) = &self.worker {
            worker.renew()?;
            command.env("SB_EXECUTION_ID", execution_id());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        pump(child.stdout.take(), log);
        pump(child.stderr.take(), log);
        Ok(child)
    }
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::KILL => "KILL",
        _ => "TERM",
    }
}

/// Copies a stream into the log, line by line.
fn pump(stream: Option<impl AsyncRead + Unpin + Send + 'static>, log: &Arc<Log>) {
    let Some(stream) = stream else { return };
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            log.line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    });
}

/// What a part is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It has a process.
    Running {
        /// The process id.
        pid: u32,
    },
    /// It died and will be started again shortly.
    Restarting,
    /// It was stopped on purpose.
    Stopped,
}

/// What a process can be told.
enum Order {
    Stop,
    Restart,
    Retire,
}

/// A supervised process. Dropping it kills the process.
pub(crate) struct Process {
    life: watch::Receiver<Life>,
    orders: mpsc::UnboundedSender<Order>,
    task: tokio::task::JoinHandle<()>,
    started: Instant,
}

impl Process {
    /// Starts it. Fails only when there is no such program; what happens later is in the log.
    pub(crate) fn start(spec: Spec, log: Arc<Log>) -> Result<Self> {
        let child = spec.spawn(&log)?;
        let (life_in, life) = watch::channel(Life::Running { pid: child.id().unwrap_or(0) });
        let (orders, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(supervise(spec, log, child, life_in, inbox));
        Ok(Self { life, orders, task, started: Instant::now() })
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match self.life() {
            Life::Running { pid } => Some(pid),
            Life::Restarting | Life::Stopped => None,
        }
    }

    /// Ends it and starts it again.
    pub(crate) fn restart(&self) {
        let _ = self.orders.send(Order::Restart);
    }

    /// Lets it finish what it has under way, ends it, and waits for that.
    pub(crate) async fn retire(&self) {
        let _ = self.orders.send(Order::Retire);
        let mut life = self.life.clone();
        let _ = life.wait_for(|life| *life == Life::Stopped).await;
    }

    /// Ends it and waits for that.
    pub(crate) async fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
        let mut life = self.life.clone();
        // An error means that the supervising task is gone, and the process with it.
        let _ = life.wait_for(|life| *life == Life::Stopped).await;
    }

    /// Waits until `check` succeeds, or until it is clear that it will not.
    pub(crate) async fn ready<F>(&self, within: Duration, mut check: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let mut life = self.life.clone();
        loop {
            let Err(last) = check().await else {
                return Ok(());
            };
            if !matches!(*life.borrow_and_update(), Life::Running { .. }) {
                bail!("it ended at once");
            }
            if self.started.elapsed() > within {
                return Err(last.context(format!("not ready within {} s", within.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn supervise(
    spec: Spec,
    log: Arc<Log>,
    mut child: Child,
    life: watch::Sender<Life>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        let order = tokio::select! {
            order = orders.recv() => Some(order.unwrap_or(Order::Stop)),
            status = child.wait() => {
                log.note(&format!("ended by itself: {}; starting it again", describe(status)));
                None
            }
        };
        if let Some(Order::Stop) = order {
            end(&spec, &log, child).await;
            break;
        }
        if let Some(Order::Retire) = order {
            if let Some(process) = child.id().and_then(pid) {
                let _ = rustix::process::kill_process(process, Signal::USR2);
                let _ = tokio::time::timeout(LONGEST_LIFE, child.wait()).await;
            }
            end(&spec, &log, child).await;
            break;
        }
        life.send_replace(Life::Restarting);
        if let Some(Order::Restart) = order {
            end(&spec, &log, child).await;
            pause = Duration::ZERO;
        } else if since.elapsed() > WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        spec.clean_up(&log);
        match restart(&spec, &log, &mut pause, &mut orders).await {
            Some(next) => child = next,
            None => break,
        }
        life.send_replace(Life::Running { pid: child.id().unwrap_or(0) });
    }
    spec.clean_up(&log);
    life.send_replace(Life::Stopped);
}

/// Starts the process again, as often as needed; none when it was told to stop meanwhile.
async fn restart(
    spec: &Spec,
    log: &Arc<Log>,
    pause: &mut Duration,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Child> {
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                // A file was changed: it may run now.
                Some(Order::Restart) => *pause = FIRST_PAUSE,
                Some(Order::Stop | Order::Retire) | None => return None,
            },
            () = tokio::time::sleep(*pause) => {}
        }
        *pause = (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        match spec.spawn(log) {
            Ok(child) => return Some(child),
            Err(error) => log.note(&format!("{error:#}")),
        }
    }
}

/// Asks the process to end, then makes it.
async fn end(spec: &Spec, log: &Log, mut child: Child) {
    let Some(group) = child.id().and_then(pid) else {
        return;
    };
    let _ = rustix::process::kill_process(group, spec.stop_signal);
    if tokio::time::timeout(spec.patience, child.wait()).await.is_err() {
        log.note(&format!("did not end within {} s: killed", spec.patience.as_secs()));
    }
    // Also what it may have started itself.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}

pub(crate) fn pid(raw: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(raw).ok()?)
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit code".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}
