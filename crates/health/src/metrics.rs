//! The same for Prometheus: the text exposition format, version 0.0.4, gauges only. With the line
//! `# EOF` it is OpenMetrics 1.0 too.

use crate::full::{Health, VERSION};
use crate::judge::Status;
use crate::report::{Backlog, Job, Report};

/// Collects the text.
struct Page(String);

impl Page {
    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.push_str(part);
        }
    }

    fn head(&mut self, name: &str, help: &str) {
        self.push(&["# HELP ironferry_", name, " ", help, "\n# TYPE ironferry_", name, " gauge\n"]);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        self.push(&["ironferry_", name]);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.push(&[if place == 0 { "{" } else { "," }, label, "=\""]);
            for letter in text.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    letter => self.0.push(letter),
                }
            }
            self.0.push('"');
        }
        self.push(&[if labels.is_empty() { "" } else { "}" }, " ", value, "\n"]);
    }

    /// A gauge without labels; what was not measured is left out.
    fn number(&mut self, name: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.head(name, help);
            self.sample(name, &[], &value.to_string());
        }
    }
}

const fn rank(status: Status) -> &'static str {
    match status {
        Status::Healthy => "0",
        Status::Degraded => "1",
        Status::Unhealthy => "2",
    }
}

pub(crate) fn write(health: &Health) -> String {
    let mut page = Page(String::with_capacity(8_192));
    page.head("health", "The worst check: 0 healthy, 1 degraded, 2 unhealthy.");
    page.sample("health", &[], rank(health.status));
    page.head("check", "A check: 0 healthy, 1 degraded, 2 unhealthy.");
    for (name, check) in &health.checks {
        page.sample("check", &[("check", name)], rank(check.status));
    }
    let version = |name: &str| health.measured["versions"][name].as_str().unwrap_or_default();
    let versions =
        [("module", VERSION), ("postgres", version("postgres")), ("migration", version("migration"))];
    page.head("versions", "What runs, in the labels.");
    page.sample("versions", &versions, "1");
    if let Some(ms) = health.latency_ms {
        page.head("database_latency_seconds", "How long the database took to answer besides measuring.");
        page.sample("database_latency_seconds", &[], &format!("{}.{:03}", ms / 1_000, ms % 1_000));
    }
    measured(&mut page, &health.report);
    page.0
}

fn measured(page: &mut Page, report: &Report) {
    if let Some(server) = &report.server {
        page.number("database_size_bytes", "The database on disk.", Some(server.size_bytes));
        page.number("database_read_only", "Whether it takes no writes.", Some(server.read_only.into()));
        page.number("connections_used", "Connections of clients.", Some(server.connections_used));
        page.number(
            "connections_allowed",
            "Connections that there may be.",
            Some(server.connections_allowed),
        );
    }
    let oldest = report.queries.as_ref().map(|open| open.iter().map(|one| one.seconds).max().unwrap_or(0));
    page.number("oldest_transaction_seconds", "The age of the oldest open transaction.", oldest);
    let unreadable = report.tables.as_ref().map(|tables| tables.len() as u64);
    page.number("tables_unreadable", "Our tables that cannot be read.", unreadable);
    if let Some(cron) = &report.pg_cron {
        page.number("cron_running", "Whether pg_cron's scheduler runs.", Some(cron.running.into()));
        jobs(page, &cron.jobs);
    }
    if let Some(net) = &report.pg_net {
        page.number("calls_running", "Whether pg_net's worker runs.", Some(net.running.into()));
        page.number("calls_queued", "Calls that wait for pg_net.", Some(net.queued));
        page.number("calls_answered_1h", "Calls that ended in the last hour.", Some(net.answered_1h));
        page.number("calls_failed_1h", "Of those, the ones that failed.", Some(net.failed_1h));
    }
    backlog(page, "collector", report.collector.as_ref());
    if let Some(tokens) = &report.tokens {
        page.number("tokens_active", "Active broker tokens.", Some(tokens.active));
        page.number("tokens_expired", "Of those, the expired.", Some(tokens.expired));
        page.number("tokens_expiring", "Of those, the ones that soon expire.", Some(tokens.expiring));
    }
    if let Some(signals) = &report.signals {
        page.number("signals_pending", "Trading signals that are not done.", Some(signals.pending));
        page.number("signals_oldest_seconds", "The age of the oldest of them.", Some(signals.oldest_seconds));
    }
    backlog(page, "cache", report.cache.as_ref());
    if let Some(saves) = &report.saves {
        page.number("cache_pending", "Saves that the database has not taken.", Some(saves.pending));
        page.number("cache_pending_seconds", "How long the oldest waits.", Some(saves.oldest_seconds));
        page.number("cache_refused_24h", "Saves that it refused for good.", Some(saves.refused));
        page.number("cache_needs_login", "Sources that refuse their refresh token.", Some(saves.need_login));
    }
}

fn backlog(page: &mut Page, whose: &str, backlog: Option<&Backlog>) {
    if let Some(backlog) = backlog {
        let name = |measure: &str| [whose, measure].concat();
        page.number(&name("_due"), "What is due and nobody is at.", Some(backlog.due));
        page.number(&name("_lag_seconds"), "How long the longest has been due.", Some(backlog.lag_seconds));
        page.number(&name("_failing"), "What failed the last time.", Some(backlog.failing));
    }
}

fn jobs(page: &mut Page, jobs: &[Job]) {
    type Measure = fn(&Job) -> Option<u64>;
    let measures: [(&str, &str, Measure); 4] = [
        ("cron_job_active", "Whether the job runs at all.", |job| Some(job.active.into())),
        ("cron_job_last_run_age_seconds", "How long ago its last run began.", |job| job.last_seconds_ago),
        ("cron_job_failures_24h", "Its failures of 24 h.", |job| Some(job.failures_24h)),
        ("cron_job_failures_in_a_row", "Its failures since its last success.", |job| {
            Some(job.failures_in_a_row)
        }),
    ];
    for (name, help, measure) in measures {
        page.head(name, help);
        for job in jobs {
            if let Some(value) = measure(job) {
                page.sample(name, &[("job", &job.name)], &value.to_string());
            }
        }
    }
}
