//! What the database measures: `public.health_report()`, a section a key. What is not installed in a
//! project, or could not be measured, is not there.
//!
//! The sections are read by hand: derived code for as many types takes 18 kB gzipped more.

use std::time::Duration;

use ironferry::{Context, Error, Result};
use serde_json::Value;

use crate::rows::health_report;

/// What the checks need of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) server: Option<Server>,
    pub(crate) queries: Option<Vec<Transaction>>,
    /// Tables that cannot be read, and why: SQLSTATE and message.
    pub(crate) tables: Option<Vec<(String, String)>>,
    pub(crate) pg_cron: Option<PgCron>,
    pub(crate) pg_net: Option<PgNet>,
    pub(crate) collector: Option<Backlog>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) signals: Option<Signals>,
    pub(crate) cache: Option<Backlog>,
    pub(crate) saves: Option<Saves>,
    /// Sections that could not be measured, and why.
    pub(crate) errors: Vec<(String, String)>,
    /// How long measuring took, milliseconds.
    pub(crate) took_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) size_bytes: u64,
    /// A full disk, or a standby.
    pub(crate) read_only: bool,
    pub(crate) connections_used: u64,
    /// Besides the reserved ones.
    pub(crate) connections_allowed: u64,
}

/// An open transaction of at least a second.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) pid: u64,
    pub(crate) role: String,
    pub(crate) state: String,
    pub(crate) seconds: u64,
}

#[derive(Debug)]
pub(crate) struct PgCron {
    pub(crate) running: bool,
    pub(crate) jobs: Vec<Job>,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) schedule: String,
    pub(crate) active: bool,
    /// None when it never ran, or when nobody remembers.
    pub(crate) last_seconds_ago: Option<u64>,
    pub(crate) failures_24h: u64,
    pub(crate) failures_in_a_row: u64,
    pub(crate) last_error: String,
}

#[derive(Debug)]
pub(crate) struct PgNet {
    pub(crate) running: bool,
    pub(crate) queued: u64,
    pub(crate) answered_1h: u64,
    pub(crate) failed_1h: u64,
    pub(crate) last_error: String,
}

/// Work that comes due by itself: companies to collect, sources to refresh.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) due: u64,
    /// Of the one that has been due longest.
    pub(crate) lag_seconds: u64,
    pub(crate) failing: u64,
}

#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) active: u64,
    pub(crate) expired: u64,
    pub(crate) expiring: u64,
}

#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) pending: u64,
    pub(crate) oldest_seconds: u64,
}

/// What the workers of the cache hold that the database has not taken, and what they cannot refresh.
#[derive(Debug)]
pub(crate) struct Saves {
    pub(crate) pending: u64,
    pub(crate) oldest_seconds: u64,
    /// For good, in a day.
    pub(crate) refused: u64,
    pub(crate) last_error: String,
    /// Sources that refuse their credentials.
    pub(crate) need_login: u64,
}

/// Asks the database, and gives up after a while.
pub(crate) async fn fetch(cx: &Context, token_seconds: u32, patience: Duration) -> Result<Value> {
    let arguments =
        health_report::Args { p_expiring_seconds: Some(i32::try_from(token_seconds).unwrap_or(i32::MAX)) };
    let measured: Value =
        cx.within(patience, cx.db().rpc(health_report::NAME, &arguments).fetch())
            .await
            .map_err(|error| Error::timeout("the database did not answer in time").source(error))??;
    if number(&measured, "took_ms").is_none() {
        let error = Error::internal("the database answered with something that is no report");
        return Err(error.code("DATABASE_ERROR"));
    }
    Ok(measured)
}

impl Report {
    /// Reads what `health_report` gave.
    pub(crate) fn read(measured: &Value) -> Self {
        let mut errors = texts(&measured["errors"]);
        Self {
            server: section(measured, "server", &mut errors, |value| {
                Some(Server {
                    size_bytes: number(value, "size_bytes")?,
                    read_only: flag(value, "read_only")?,
                    connections_used: number(value, "connections_used")?,
                    connections_allowed: number(value, "connections_allowed")?,
                })
            }),
            queries: section(measured, "queries", &mut errors, |value| list(value, transaction)),
            tables: section(measured, "tables", &mut errors, |value| value.is_object().then(|| texts(value))),
            pg_cron: section(measured, "pg_cron", &mut errors, |value| {
                Some(PgCron { running: flag(value, "running")?, jobs: list(&value["jobs"], job)? })
            }),
            pg_net: section(measured, "pg_net", &mut errors, |value| {
                Some(PgNet {
                    running: flag(value, "running")?,
                    queued: number(value, "queued")?,
                    answered_1h: number(value, "answered_1h")?,
                    failed_1h: number(value, "failed_1h")?,
                    last_error: text(value, "last_error").unwrap_or_default(),
                })
            }),
            collector: section(measured, "collector", &mut errors, backlog),
            tokens: section(measured, "tokens", &mut errors, |value| {
                Some(Tokens {
                    active: number(value, "active")?,
                    expired: number(value, "expired")?,
                    expiring: number(value, "expiring")?,
                })
            }),
            signals: section(measured, "signals", &mut errors, |value| {
                Some(Signals {
                    pending: number(value, "pending")?,
                    oldest_seconds: number(value, "oldest_seconds")?,
                })
            }),
            cache: section(measured, "cache", &mut errors, backlog),
            saves: saves(&measured["cache"]),
            took_ms: number(measured, "took_ms").unwrap_or(0),
            errors,
        }
    }
}

/// A section that is there and of another shape comes from a migration of another version.
fn section<T>(
    measured: &Value,
    name: &str,
    errors: &mut Vec<(String, String)>,
    read: fn(&Value) -> Option<T>,
) -> Option<T> {
    let value = measured.get(name).filter(|value| !value.is_null())?;
    let section = read(value);
    if section.is_none() {
        errors.push((name.to_owned(), "its shape is another: are all migrations applied?".to_owned()));
    }
    section
}

fn transaction(value: &Value) -> Option<Transaction> {
    Some(Transaction {
        pid: number(value, "pid")?,
        role: text(value, "role").unwrap_or_default(),
        state: text(value, "state")?,
        seconds: number(value, "seconds")?,
    })
}

fn job(value: &Value) -> Option<Job> {
    Some(Job {
        name: text(value, "name")?,
        schedule: text(value, "schedule")?,
        active: flag(value, "active")?,
        last_seconds_ago: number(value, "last_seconds_ago"),
        failures_24h: number(value, "failures_24h")?,
        failures_in_a_row: number(value, "failures_in_a_row")?,
        last_error: text(value, "last_error").unwrap_or_default(),
    })
}

fn backlog(value: &Value) -> Option<Backlog> {
    Some(Backlog {
        due: number(value, "due")?,
        lag_seconds: number(value, "lag_seconds")?,
        failing: number(value, "failing")?,
    })
}

/// Older migrations do not count them.
fn saves(cache: &Value) -> Option<Saves> {
    Some(Saves {
        pending: number(cache, "pending")?,
        oldest_seconds: number(cache, "pending_seconds")?,
        refused: number(cache, "refused_24h")?,
        last_error: text(cache, "pending_error").unwrap_or_default(),
        need_login: number(cache, "needs_login").unwrap_or(0),
    })
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

fn flag(value: &Value, name: &str) -> Option<bool> {
    value.get(name)?.as_bool()
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn list<T>(value: &Value, read: fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(read).collect()
}

/// Names with a text; those without one are left out.
fn texts(value: &Value) -> Vec<(String, String)> {
    let named = value.as_object().into_iter().flatten();
    named.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}
