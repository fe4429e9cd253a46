//! One child process, kept alive: started, logged, restarted when it dies, stopped when asked.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::limits::{Finding, Meter, Reason, Reports, Supervision, Traffic};
use super::logs::Log;
use super::tools;
use super::worker::execution_id;

/// The first restart comes at once, so that a killed function is back within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A part that cannot run is tried this seldom.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A part that ran this long was well: its next restart is a first one again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// A worker without limits that is told to end has as long for its work in the background.
const LONGEST_LIFE: Duration = Duration::from_secs(400);
/// How long the streams of a process that has ended stay open at most; they do where it left another one behind.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What to run, and how to end it.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
    /// Of the worker of a function.
    pub(crate) worker: Option<Supervision>,
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
        if let Some(Err(error)) = self.worker.as_ref().map(|worker| worker.folder.remove()) {
            log.note(&format!("{error:#}"));
        }
    }

    fn spawn(&self, log: &Arc<Log>) -> Result<Started> {
        let mut command = self.command();
        if let Some(worker) = &self.worker {
            worker.folder.renew()?;
            command.env("SB_EXECUTION_ID", execution_id()).stdin(Stdio::piped());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let pid = child.id().unwrap_or(0);
        let reports = self.worker.as_ref().map(|_| Arc::new(Reports::default()));
        let pumps = [
            pump(child.stdout.take(), log, reports.clone(), pid),
            pump(child.stderr.take(), log, reports.clone(), pid),
        ];
        Ok(Started { pid, orders: child.stdin.take(), child, reports: reports.unwrap_or_default(), pumps })
    }
}

/// A process that was started.
struct Started {
    pid: u32,
    child: Child,
    /// Where a worker takes orders.
    orders: Option<ChildStdin>,
    /// What a worker says of itself.
    reports: Arc<Reports>,
    pumps: [JoinHandle<()>; 2],
}

impl Started {
    /// Gives a worker an order, which it reads when its JavaScript is not busy.
    async fn tell(&mut self, order: &str) {
        if let Some(orders) = &mut self.orders {
            let _ = orders.write_all(format!("{order}\n").as_bytes()).await;
        }
    }

    /// Kills it, with what it may have started itself.
    async fn kill(&mut self) {
        if let Some(group) = self.child.id().and_then(pid) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait().await;
    }

    /// Waits for the last words of a process that has ended.
    async fn drain(&mut self) {
        for pump in &mut self.pumps {
            let _ = tokio::time::timeout(LAST_WORDS, pump).await;
        }
    }
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::KILL => "KILL",
        _ => "TERM",
    }
}

/// Copies a stream into the log, line by line, less what a worker reports in it.
fn pump(
    stream: Option<impl AsyncRead + Unpin + Send + 'static>,
    log: &Arc<Log>,
    reports: Option<Arc<Reports>>,
    pid: u32,
) -> JoinHandle<()> {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let Some(stream) = stream else { return };
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !reports.as_ref().is_some_and(|reports| reports.take(text, pid)) {
                log.line(text);
            }
            line.clear();
        }
    })
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
    Retire(Reason),
}

/// A supervised process. Dropping it kills the process.
pub(crate) struct Process {
    life: watch::Receiver<Life>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
    started: Instant,
    traffic: Arc<Traffic>,
}

impl Process {
    /// Starts it. Fails only when there is no such program; what happens later is in the log.
    pub(crate) fn start(spec: Spec, log: Arc<Log>) -> Result<Self> {
        let started = spec.spawn(&log)?;
        let (life_in, life) = watch::channel(Life::Running { pid: started.pid });
        let (orders, inbox) = mpsc::unbounded_channel();
        let traffic = Arc::<Traffic>::default();
        let supervisor =
            Supervisor { spec, log, traffic: Arc::clone(&traffic), life: life_in, orders: inbox };
        let task = tokio::spawn(supervisor.run(started));
        Ok(Self { life, orders, task, started: Instant::now(), traffic })
    }

    /// What the gateway and the supervisor tell each other about it.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
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

    /// Lets a worker without requests finish what it has in the background, ends it, and waits for that.
    pub(crate) async fn retire(&self, reason: Reason) {
        let _ = self.orders.send(Order::Retire(reason));
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

/// What became of a process.
enum End {
    Stopped,
    Restarted,
    /// It was told to finish, and did.
    Retired(Reason),
    /// It passed a limit.
    Killed(Reason),
    Alone(std::io::Result<ExitStatus>),
}

/// Looks after a part: one process after the other.
struct Supervisor {
    spec: Spec,
    log: Arc<Log>,
    traffic: Arc<Traffic>,
    life: watch::Sender<Life>,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Supervisor {
    async fn run(mut self, mut process: Started) {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = Instant::now();
            let limits = self.spec.worker.as_ref().and_then(|worker| worker.limits);
            let (reports, traffic) = (Arc::clone(&process.reports), Arc::clone(&self.traffic));
            let mut meter = Meter::new(process.pid, limits, reports, traffic);
            let end = self.watch(&mut process, &mut meter).await;
            process.drain().await;
            self.tell_of(&end, &process, &meter);
            self.spec.clean_up(&self.log);
            let is_over = matches!(end, End::Stopped | End::Retired(_));
            if is_over || self.traffic.is_retired() {
                break;
            }
            self.life.send_replace(Life::Restarting);
            let was_well = since.elapsed() > WELL_AFTER;
            match end {
                // A worker that served is missed, and what ended it need not meet the next one.
                End::Restarted | End::Killed(_) => pause = Duration::ZERO,
                End::Alone(_) if self.traffic.has_listened(process.pid) => pause = Duration::ZERO,
                _ if was_well => pause = FIRST_PAUSE,
                _ => {}
            }
            match self.restart(&mut pause).await {
                Some(next) => process = next,
                None => break,
            }
            self.life.send_replace(Life::Running { pid: process.pid });
        }
        self.life.send_replace(Life::Stopped);
    }

    /// Waits for the end of a process: its own, an ordered one, or that of its limits.
    async fn watch(&mut self, process: &mut Started, meter: &mut Meter) -> End {
        let mut retiring = None;
        let longest = tokio::time::sleep(LONGEST_LIFE);
        tokio::pin!(longest);
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Retire(reason)) if self.spec.worker.is_some() => {
                        process.tell(&format!("retire {}", reason.name())).await;
                        longest.as_mut().reset(tokio::time::Instant::now() + LONGEST_LIFE);
                        retiring = Some(reason);
                    }
                    Some(Order::Restart) => {
                        end(&self.spec, &self.log, process).await;
                        return End::Restarted;
                    }
                    Some(Order::Stop | Order::Retire(_)) | None => {
                        end(&self.spec, &self.log, process).await;
                        return End::Stopped;
                    }
                },
                status = process.child.wait() => return match (retiring, status) {
                    (Some(reason), Ok(status)) if status.success() => End::Retired(reason),
                    (_, status) => End::Alone(status),
                },
                finding = meter.next() => match finding {
                    Finding::Ask => process.tell("memory").await,
                    Finding::Announce(reason) => process.tell(&format!("announce {}", reason.name())).await,
                    Finding::Retire(reason) => {
                        self.traffic.retire();
                        if let Some(worker) = &self.spec.worker {
                            let _ = worker.retirements.send((worker.function.clone(), reason));
                        }
                    }
                    Finding::Kill(reason) => {
                        process.kill().await;
                        return End::Killed(reason);
                    }
                },
                () = &mut longest, if retiring.is_some() => {
                    process.kill().await;
                    return End::Killed(Reason::WallClock);
                }
            }
        }
    }

    /// Logs the end of a process, and what a worker has used.
    fn tell_of(&self, end: &End, process: &Started, meter: &Meter) {
        if self.spec.worker.is_none() {
            if let End::Alone(status) = end {
                self.log.note(&format!("ended by itself: {}; starting it again", describe(status)));
            }
            return;
        }
        let has_begun = process.reports.is_loaded() || self.traffic.has_listened(process.pid);
        let reason = match end {
            End::Stopped | End::Restarted => Reason::Termination,
            End::Retired(reason) | End::Killed(reason) => *reason,
            End::Alone(_) if process.reports.is_out_of_memory() => Reason::Memory,
            End::Alone(_) if has_begun => Reason::Error,
            End::Alone(_) => Reason::Boot,
        };
        self.traffic.end(process.pid, reason);
        let status = match end {
            End::Alone(status) => format!(" ({})", describe(status)),
            _ => String::new(),
        };
        let usage = meter.usage().map(|usage| format!("; {usage}")).unwrap_or_default();
        self.log.note(&format!("worker ended: {}{status}{usage}", reason.name()));
    }

    /// Starts the process again, as often as needed; none when it was told to stop meanwhile.
    async fn restart(&mut self, pause: &mut Duration) -> Option<Started> {
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    // A file was changed: it may run now.
                    Some(Order::Restart) => *pause = FIRST_PAUSE,
                    Some(Order::Stop | Order::Retire(_)) | None => return None,
                },
                () = tokio::time::sleep(*pause) => {}
            }
            *pause = (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            match self.spec.spawn(&self.log) {
                Ok(started) => return Some(started),
                Err(error) => self.log.note(&format!("{error:#}")),
            }
        }
    }
}

/// Asks the process to end, then makes it.
async fn end(spec: &Spec, log: &Log, process: &mut Started) {
    let Some(group) = process.child.id().and_then(pid) else {
        return;
    };
    let _ = rustix::process::kill_process(group, spec.stop_signal);
    if tokio::time::timeout(spec.patience, process.child.wait()).await.is_err() {
        log.note(&format!("did not end within {} s: killed", spec.patience.as_secs()));
    }
    // Also what it may have started itself.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let _ = process.child.wait().await;
}

pub(crate) fn pid(raw: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(raw).ok()?)
}

fn describe(status: &std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit code".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}
