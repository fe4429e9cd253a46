//! Where well ends. docs/platform.md has the same table; a test compares them.

use ironferry::{Context, Result};

/// No value is above it.
pub const NEVER: u64 = u64::MAX;

/// A measure that is degraded above one value and unhealthy above another. The settings
/// `HEALTH_<NAME>_DEGRADED` and `HEALTH_<NAME>_UNHEALTHY` replace them.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The name within the settings' names, its unit last.
    pub name: &'static str,
    /// Degraded above this.
    pub degraded: u64,
    /// Unhealthy above this.
    pub unhealthy: u64,
}

const fn limit(name: &'static str, degraded: u64, unhealthy: u64) -> Limit {
    Limit { name, degraded, unhealthy }
}

/// How long the database takes to answer besides the report itself. Unhealthy is also how long is waited.
const LATENCY_MS: Limit = limit("LATENCY_MS", 2_000, 5_000);
/// The database's size. 8 GB come with the platform's Pro plan; a larger disk wants another limit.
const SIZE_MB: Limit = limit("SIZE_MB", 7_200, NEVER);
/// Connections in use, of those that are not reserved.
const CONNECTIONS_PERCENT: Limit = limit("CONNECTIONS_PERCENT", 80, 95);
/// The age of a transaction. The API ends its own after 8 s: an older one is a person's or a job's.
const QUERY_SECONDS: Limit = limit("QUERY_SECONDS", 60, NEVER);
/// Failures of a scheduled job since its last success.
const JOB_FAILURES: Limit = limit("JOB_FAILURES", 0, 2);
/// How many of its intervals a scheduled job has not begun for.
const JOB_INTERVALS: Limit = limit("JOB_INTERVALS", 3, NEVER);
/// Calls that wait for pg_net, which sends 200 at a time.
const QUEUED_CALLS: Limit = limit("QUEUED_CALLS", 1_000, 10_000);
/// Calls of the last hour that failed.
const FAILED_CALLS_PERCENT: Limit = limit("FAILED_CALLS_PERCENT", 10, 50);
/// How long a company has been due for collection. The job runs every 300 s.
const COLLECTOR_SECONDS: Limit = limit("COLLECTOR_SECONDS", 900, 3_600);
/// Active broker tokens that have expired, or will within `HEALTH_TOKEN_SECONDS`.
const EXPIRED_TOKENS_PERCENT: Limit = limit("EXPIRED_TOKENS_PERCENT", 0, 99);
/// The age of the oldest trading signal that is not done.
const SIGNAL_SECONDS: Limit = limit("SIGNAL_SECONDS", 60, 600);
/// How long a source of the cache has been due for refresh. The job runs every 300 s.
const CACHE_SECONDS: Limit = limit("CACHE_SECONDS", 900, 3_600);
/// How long the oldest save of the cache has waited that the database has not taken.
const CACHE_PENDING_SECONDS: Limit = limit("CACHE_PENDING_SECONDS", 300, 3_600);
/// Saves of a day that the database refused after they had been accepted.
const CACHE_REFUSED: Limit = limit("CACHE_REFUSED", 0, NEVER);

/// A token that ends so soon should have been renewed: renewal begins 900 s before. `HEALTH_TOKEN_SECONDS`.
pub const TOKEN_SECONDS: u32 = 300;
/// Of fewer calls, one that failed would be a large share.
pub(crate) const FEWEST_CALLS: u64 = 10;

/// Every limit, as it is unless a setting says otherwise.
pub const ALL: [Limit; 14] = [
    LATENCY_MS,
    SIZE_MB,
    CONNECTIONS_PERCENT,
    QUERY_SECONDS,
    JOB_FAILURES,
    JOB_INTERVALS,
    QUEUED_CALLS,
    FAILED_CALLS_PERCENT,
    COLLECTOR_SECONDS,
    EXPIRED_TOKENS_PERCENT,
    SIGNAL_SECONDS,
    CACHE_SECONDS,
    CACHE_PENDING_SECONDS,
    CACHE_REFUSED,
];

/// The limits that hold.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) latency_ms: Limit,
    pub(crate) size_mb: Limit,
    pub(crate) connections_percent: Limit,
    pub(crate) query_seconds: Limit,
    pub(crate) job_failures: Limit,
    pub(crate) job_intervals: Limit,
    pub(crate) queued_calls: Limit,
    pub(crate) failed_calls_percent: Limit,
    pub(crate) collector_seconds: Limit,
    pub(crate) expired_tokens_percent: Limit,
    pub(crate) signal_seconds: Limit,
    pub(crate) cache_seconds: Limit,
    pub(crate) cache_pending_seconds: Limit,
    pub(crate) cache_refused: Limit,
    pub(crate) token_seconds: u32,
}

impl Limits {
    /// With the settings. 500 `INVALID_SETTING` when one is no whole number.
    pub(crate) fn of(cx: &Context) -> Result<Self> {
        let set = |limit: Limit| -> Result<Limit> {
            let setting = |end: &str, default| cx.setting(&["HEALTH_", limit.name, end].concat(), default);
            Ok(Limit {
                degraded: setting("_DEGRADED", limit.degraded)?,
                unhealthy: setting("_UNHEALTHY", limit.unhealthy)?,
                ..limit
            })
        };
        Ok(Self {
            latency_ms: set(LATENCY_MS)?,
            size_mb: set(SIZE_MB)?,
            connections_percent: set(CONNECTIONS_PERCENT)?,
            query_seconds: set(QUERY_SECONDS)?,
            job_failures: set(JOB_FAILURES)?,
            job_intervals: set(JOB_INTERVALS)?,
            queued_calls: set(QUEUED_CALLS)?,
            failed_calls_percent: set(FAILED_CALLS_PERCENT)?,
            collector_seconds: set(COLLECTOR_SECONDS)?,
            expired_tokens_percent: set(EXPIRED_TOKENS_PERCENT)?,
            signal_seconds: set(SIGNAL_SECONDS)?,
            cache_seconds: set(CACHE_SECONDS)?,
            cache_pending_seconds: set(CACHE_PENDING_SECONDS)?,
            cache_refused: set(CACHE_REFUSED)?,
            token_seconds: cx.setting("HEALTH_TOKEN_SECONDS", TOKEN_SECONDS)?,
        })
    }
}
