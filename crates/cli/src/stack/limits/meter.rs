//! Measures a worker and finds where it passes its limits.
//!
//! CPU time is that of the process's main thread, on which Deno runs the function, less what it had taken when the
//! evaluation of the function began. Memory is what the worker reports when it is asked; it is asked when it has
//! worked since. While its JavaScript is too busy to answer, the growth of the process's memory stands in. Without
//! `/proc` (macOS) there is no CPU time and no stand-in; reports and wall-clock time remain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Limits, Reason, Reports, Traffic};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Less is no work to speak of; to answer takes less.
const WORK: Duration = Duration::from_millis(10);
/// A worker that has not answered for so many looks is busy.
const BUSY_AFTER: u32 = 3;
/// A process also grows by garbage, compiled code and buffers of the runtime.
const GROWTH_BESIDES: u64 = 128 * 1024 * 1024;
/// How often a worker is asked whose work cannot be seen, in looks.
const ASK_BLINDLY_EVERY: u32 = 10;

/// What is to be done about a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Ask it for its memory.
    Ask,
    /// Announce that a limit is near.
    Announce(Reason),
    /// Send it no new requests.
    Retire(Reason),
    /// Kill it.
    Kill(Reason),
}

/// What a process has used at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// CPU time of its main thread.
    cpu: Duration,
    /// Bytes of memory that no file backs.
    anonymous: u64,
}

impl Sample {
    /// Reads what the kernel knows; none without `/proc` or such a process.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, and may contain any character.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let milliseconds = (ticks(11)? + ticks(12)?) * 1000 / rustix::param::clock_ticks_per_second();
        let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let mut pages = pages.split_whitespace().skip(1).map_while(|field| field.parse::<u64>().ok());
        let anonymous = pages.next()?.saturating_sub(pages.next()?);
        Some(Self {
            cpu: Duration::from_millis(milliseconds),
            anonymous: anonymous * u64::try_from(rustix::param::page_size()).ok()?,
        })
    }
}

/// What a worker has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    cpu: Duration,
    memory: u64,
    growth: u64,
    wall_clock: Duration,
}

impl std::fmt::Display for Usage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, memory, growth, wall_clock } = self;
        let megabytes = memory.max(growth) / (1024 * 1024);
        let (cpu, wall_clock) = (cpu.as_millis(), wall_clock.as_secs_f64());
        write!(out, "CPU {cpu} ms, memory {megabytes} MB, wall clock {wall_clock:.1} s")
    }
}

/// Looks after one process.
pub(crate) struct Meter {
    pid: u32,
    limits: Option<Limits>,
    reports: Arc<Reports>,
    traffic: Arc<Traffic>,
    first_request: Option<Instant>,
    usage: Usage,
    /// The largest memory that was reported.
    peak: u64,
    /// How often it was asked, at which CPU time last, and how many looks ago.
    asked: (u32, Duration, u32),
    announced: Vec<Reason>,
}

impl Meter {
    pub(crate) fn new(
        pid: u32,
        limits: Option<Limits>,
        reports: Arc<Reports>,
        traffic: Arc<Traffic>,
    ) -> Self {
        let (first_request, usage, announced) = (None, Usage::default(), Vec::new());
        Self {
            pid,
            limits,
            reports,
            traffic,
            first_request,
            usage,
            peak: 0,
            asked: (0, Duration::ZERO, 0),
            announced,
        }
    }

    /// Returns what was used until the last look, with the largest memory; none without limits.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.limits.map(|_| Usage { memory: self.peak.max(self.reports.memory()), growth: 0, ..self.usage })
    }

    /// Waits until something is to be done.
    pub(crate) async fn next(&mut self) -> Finding {
        let Some(limits) = self.limits else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_visible = self.look();
            if let Some(finding) = self.judge(&limits).or_else(|| self.ask(is_visible)) {
                return finding;
            }
        }
    }

    /// Brings the usage up to date; false where the kernel does not tell.
    fn look(&mut self) -> bool {
        if self.first_request.is_none() && self.traffic.is_used() {
            self.first_request = Some(Instant::now());
        }
        self.usage.wall_clock = self.first_request.map_or(Duration::ZERO, |first| first.elapsed());
        self.usage.memory = self.reports.memory();
        self.peak = self.peak.max(self.usage.memory);
        let Some((begun, now)) = self.reports.begun().zip(Sample::of(self.pid)) else { return false };
        self.usage.cpu = now.cpu.saturating_sub(begun.cpu);
        let is_busy = self.asked.0 > self.reports.answers() && self.asked.2 >= BUSY_AFTER;
        self.usage.growth = if is_busy { now.anonymous.saturating_sub(begun.anonymous) } else { 0 };
        true
    }

    fn judge(&mut self, limits: &Limits) -> Option<Finding> {
        let Usage { cpu, memory, growth, wall_clock } = self.usage;
        if memory >= limits.memory || growth >= limits.memory + GROWTH_BESIDES {
            self.peak = self.peak.max(growth);
            return Some(Finding::Kill(Reason::Memory));
        }
        if cpu >= limits.cpu_hard {
            return Some(Finding::Kill(Reason::Cpu));
        }
        if wall_clock >= limits.wall_clock {
            return Some(Finding::Kill(Reason::WallClock));
        }
        let near = [
            (Reason::Cpu, cpu >= limits.cpu_soft.mul_f64(NEAR)),
            (Reason::Memory, memory >= limits.memory / 10 * 9),
            (Reason::WallClock, wall_clock >= limits.wall_clock.mul_f64(NEAR)),
        ];
        if let Some((reason, _)) =
            near.into_iter().find(|(reason, is_near)| *is_near && !self.announced.contains(reason))
        {
            self.announced.push(reason);
            return Some(Finding::Announce(reason));
        }
        if self.traffic.is_retired() {
            return None;
        }
        let is_dropped = self.traffic.is_idle() && memory > limits.memory / 2;
        if cpu >= limits.cpu_soft {
            Some(Finding::Retire(Reason::Cpu))
        } else if wall_clock >= limits.wall_clock / 2 || is_dropped {
            Some(Finding::Retire(Reason::EarlyDrop))
        } else {
            None
        }
    }

    /// Asks for the memory of a worker that has answered and has worked since.
    fn ask(&mut self, is_visible: bool) -> Option<Finding> {
        let (asked, at, looks) = self.asked;
        self.asked.2 = looks + 1;
        let has_worked = if is_visible { self.usage.cpu >= at + WORK } else { looks >= ASK_BLINDLY_EVERY };
        if !has_worked || self.reports.begun().is_none() || asked > self.reports.answers() {
            return None;
        }
        self.asked = (self.reports.answers() + 1, self.usage.cpu, 0);
        Some(Finding::Ask)
    }
}

/// The share of a limit at which the hosted platform announces it.
const NEAR: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1024 * 1024;

    fn meter(cpu: u64, memory: u64, wall_clock: u64) -> Meter {
        let mut meter = Meter::new(0, Some(Limits::HOSTED), Arc::default(), Arc::default());
        let (cpu, wall_clock) = (Duration::from_millis(cpu), Duration::from_secs(wall_clock));
        meter.usage = Usage { cpu, memory: memory * MB, growth: 0, wall_clock };
        meter
    }

    /// Everything that is found, one after the other, of a worker that uses no more.
    fn findings(mut meter: Meter) -> Vec<Finding> {
        let mut found = Vec::new();
        while let Some(finding) = meter.judge(&Limits::HOSTED) {
            found.push(finding);
            match finding {
                Finding::Kill(_) => break,
                Finding::Retire(_) => meter.traffic.retire(),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn limits_are_announced_then_retire_and_then_kill() {
        use Finding::{Announce, Kill, Retire};
        assert_eq!(findings(meter(890, 120, 74)), []);
        assert_eq!(findings(meter(900, 0, 0)), [Announce(Reason::Cpu)]);
        assert_eq!(findings(meter(1_000, 0, 0)), [Announce(Reason::Cpu), Retire(Reason::Cpu)]);
        assert_eq!(findings(meter(2_000, 0, 0)), [Kill(Reason::Cpu)]);
        assert_eq!(findings(meter(0, 0, 75)), [Retire(Reason::EarlyDrop)]);
        assert_eq!(findings(meter(0, 0, 135)), [Announce(Reason::WallClock), Retire(Reason::EarlyDrop)]);
        assert_eq!(findings(meter(0, 0, 150)), [Kill(Reason::WallClock)]);
        assert_eq!(findings(meter(0, 255, 0)), [Announce(Reason::Memory), Retire(Reason::EarlyDrop)]);
        assert_eq!(findings(meter(0, 256, 0)), [Kill(Reason::Memory)]);
    }

    #[test]
    fn half_the_memory_drops_an_idle_worker_only() {
        let busy = meter(0, 129, 0);
        let request = busy.traffic.begin();
        assert_eq!(findings(busy), []);
        drop(request);
        assert_eq!(findings(meter(0, 129, 0)), [Finding::Retire(Reason::EarlyDrop)]);
    }

    #[test]
    fn growth_counts_while_a_worker_is_too_busy_to_answer() {
        let mut meter = meter(0, 10, 0);
        meter.usage.growth = 400 * MB;
        assert_eq!(findings(meter), [Finding::Kill(Reason::Memory)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_cpu_time_and_memory() {
        let own = std::process::id();
        let before = Sample::of(own).expect("a process");
        let held = vec![1_u8; 64 << 20];
        let after = Sample::of(own).expect("a process");
        assert!(after.anonymous >= before.anonymous + 32 * MB, "{before:?} {after:?} {}", held.len());
        assert!(after.cpu >= before.cpu && Sample::of(0).is_none());
    }
}
