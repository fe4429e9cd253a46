//! Compares what was measured with the limits: pure decisions.

use crate::limits::{FEWEST_CALLS, Limit, Limits};
use crate::report::{Backlog, PgCron, PgNet, Report, Saves, Server, Tokens, Transaction};

/// How something is; the worse, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Well.
    #[default]
    Healthy,
    /// It works; somebody should look.
    Degraded,
    /// It does not work, or soon will not.
    Unhealthy,
}

impl Status {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        }
    }
}

/// What came of one check: the worst of its problems, and all of them for people.
#[derive(Debug, Default)]
pub(crate) struct Check {
    pub(crate) status: Status,
    pub(crate) problems: Vec<String>,
}

impl Check {
    pub(crate) fn unhealthy(problem: String) -> Self {
        Self { status: Status::Unhealthy, problems: vec![problem] }
    }

    fn add(&mut self, status: Status, problem: String) {
        self.status = self.status.max(status);
        self.problems.push(problem);
    }

    /// Adds a problem when the value is above a limit; `what` reads on as "…: 7 (limit 5)".
    fn compare(&mut self, limit: Limit, value: u64, what: &str) {
        let (status, passed) = match value {
            value if value > limit.unhealthy => (Status::Unhealthy, limit.unhealthy),
            value if value > limit.degraded => (Status::Degraded, limit.degraded),
            _ => return,
        };
        self.add(status, format!("{what}: {value} (limit {passed})"));
    }
}

pub(crate) fn worst(checks: &[(&'static str, Check)]) -> Status {
    checks.iter().map(|(_, check)| check.status).max().unwrap_or_default()
}

/// Every check of what is installed, by name.
pub(crate) fn all(report: &Report, latency_ms: u64, limits: &Limits) -> Vec<(&'static str, Check)> {
    let server = report.server.as_ref();
    [
        ("report", Some(measuring(report))),
        ("database", Some(database(server, latency_ms, limits))),
        ("connections", server.map(|server| connections(server, limits))),
        ("queries", report.queries.as_ref().map(|open| queries(open, limits))),
        ("tables", report.tables.as_ref().map(|tables| self::tables(tables))),
        ("pg_cron", report.pg_cron.as_ref().map(|cron| pg_cron(cron, limits))),
        ("pg_net", report.pg_net.as_ref().map(|net| pg_net(net, limits))),
        (
            "collector",
            report.collector.as_ref().map(|one| backlog(one, limits.collector_seconds, "companies")),
        ),
        ("tokens", report.tokens.as_ref().map(|tokens| self::tokens(tokens, limits))),
        (
            "signals",
            report.signals.as_ref().map(|signals| {
                let mut check = Check::default();
                let what = format!("{} signals are pending, the oldest for seconds", signals.pending);
                check.compare(limits.signal_seconds, signals.oldest_seconds, &what);
                check
            }),
        ),
        (
            "cache",
            report.cache.as_ref().map(|one| {
                let mut check = backlog(one, limits.cache_seconds, "sources");
                if let Some(saves) = &report.saves {
                    self::saves(&mut check, saves, limits);
                }
                check
            }),
        ),
    ]
    .into_iter()
    .filter_map(|(name, check)| Some((name, check?)))
    .collect()
}

fn measuring(report: &Report) -> Check {
    let mut check = Check::default();
    for (section, error) in &report.errors {
        check.add(Status::Degraded, format!("{section} cannot be measured: {error}"));
    }
    check
}

fn database(server: Option<&Server>, latency_ms: u64, limits: &Limits) -> Check {
    let mut check = Check::default();
    check.compare(limits.latency_ms, latency_ms, "milliseconds to answer");
    if let Some(server) = server {
        if server.read_only {
            check.add(Status::Unhealthy, "it takes no writes: is its disk full, is it a standby?".into());
        }
        check.compare(limits.size_mb, server.size_bytes / 1_000_000, "size in MB");
    }
    check
}

fn connections(server: &Server, limits: &Limits) -> Check {
    let mut check = Check::default();
    let (used, allowed) = (server.connections_used, server.connections_allowed);
    let what = format!("{used} of {allowed} connections are used, in percent");
    check.compare(limits.connections_percent, percent(used, allowed), &what);
    check
}

fn queries(open: &[Transaction], limits: &Limits) -> Check {
    let mut check = Check::default();
    for one in open {
        let what = format!("process {} of {}, {}, seconds", one.pid, one.role, one.state);
        check.compare(limits.query_seconds, one.seconds, &what);
    }
    check
}

fn tables(unreadable: &[(String, String)]) -> Check {
    let mut check = Check::default();
    for (table, problem) in unreadable {
        // Somebody alters it or locks it by hand, which passes.
        let is_locked = problem.starts_with("55P03");
        let status = if is_locked { Status::Degraded } else { Status::Unhealthy };
        check.add(status, format!("{table} cannot be read: {problem}"));
    }
    check
}

fn pg_cron(cron: &PgCron, limits: &Limits) -> Check {
    let mut check = Check::default();
    if !cron.running {
        check.add(Status::Unhealthy, "the scheduler is not running".into());
    }
    for job in cron.jobs.iter().filter(|job| job.active) {
        let what = format!("{} failed in a row ({}), times", job.name, job.last_error);
        check.compare(limits.job_failures, job.failures_in_a_row, &what);
        if let Some((every, ago)) = interval(&job.schedule).zip(job.last_seconds_ago) {
            let what = format!("{} has not begun for {ago} s, in intervals", job.name);
            check.compare(limits.job_intervals, ago / every, &what);
        }
    }
    check
}

/// Seconds between two runs, for schedules that have such a thing and are simple: none for others.
fn interval(schedule: &str) -> Option<u64> {
    let is_number = |field: &str| field.parse::<u8>().is_ok();
    match *schedule.split_whitespace().collect::<Vec<_>>().as_slice() {
        [count, "second" | "seconds"] => count.parse().ok(),
        ["*", "*", "*", "*", "*"] => Some(60),
        [minutes, "*", "*", "*", "*"] => match minutes.strip_prefix("*/") {
            Some(step) => step.parse::<u64>().ok().map(|step| step * 60),
            None => is_number(minutes).then_some(3_600),
        },
        [minute, hour, "*", "*", "*"] if is_number(minute) && is_number(hour) => Some(86_400),
        _ => None,
    }
    .filter(|seconds| *seconds > 0)
}

fn pg_net(net: &PgNet, limits: &Limits) -> Check {
    let mut check = Check::default();
    if !net.running {
        check.add(Status::Unhealthy, "the worker is not running: select net.worker_restart()".into());
    }
    check.compare(limits.queued_calls, net.queued, "calls that wait");
    if net.answered_1h >= FEWEST_CALLS {
        let what =
            format!("calls of the last hour that failed (the last one: {}), in percent", net.last_error);
        check.compare(limits.failed_calls_percent, percent(net.failed_1h, net.answered_1h), &what);
    }
    check
}

fn backlog(backlog: &Backlog, limit: Limit, of_what: &str) -> Check {
    let mut check = Check::default();
    let what = format!("{} {of_what} are due, the longest for seconds", backlog.due);
    check.compare(limit, backlog.lag_seconds, &what);
    check
}

fn saves(check: &mut Check, saves: &Saves, limits: &Limits) {
    let what = format!(
        "{} saves wait for the database (the last error: {}), the oldest for seconds",
        saves.pending, saves.last_error
    );
    check.compare(limits.cache_pending_seconds, saves.oldest_seconds, &what);
    let what = format!("saves of a day that the database refused for good ({})", saves.last_error);
    check.compare(limits.cache_refused, saves.refused, &what);
    if saves.need_login > 0 {
        let what = "sources refuse their refresh token: save them with a new one";
        check.add(Status::Degraded, format!("{} {what}", saves.need_login));
    }
}

fn tokens(tokens: &Tokens, limits: &Limits) -> Check {
    let mut check = Check::default();
    let (expired, soon, active) = (tokens.expired, tokens.expiring, tokens.active);
    let what = format!("of {active} active tokens {expired} have expired and {soon} soon will, in percent");
    check.compare(limits.expired_tokens_percent, percent(expired + soon, active), &what);
    check
}

/// Rounded up: one of a thousand is not none.
fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).div_ceil(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_simple_schedules_is_known_and_no_other() {
        for (schedule, seconds) in [
            ("* * * * *", Some(60)),
            ("*/5 * * * *", Some(300)),
            ("17 * * * *", Some(3_600)),
            ("17 3 * * *", Some(86_400)),
            ("30 seconds", Some(30)),
            ("*/0 * * * *", None),
            ("0,20,40 * * * *", None),
            ("0 9 * * 1", None),
            ("", None),
        ] {
            assert_eq!(interval(schedule), seconds, "{schedule}");
        }
    }

    #[test]
    fn a_value_is_judged_by_the_limit_that_it_passes() {
        let limit = Limit { name: "X", degraded: 5, unhealthy: 9 };
        for (value, status) in
            [(5, Status::Healthy), (6, Status::Degraded), (9, Status::Degraded), (10, Status::Unhealthy)]
        {
            let mut check = Check::default();
            check.compare(limit, value, "things");
            assert_eq!(check.status, status, "{value}");
        }
    }
}
