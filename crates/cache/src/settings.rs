//! What an operator can set. Names and defaults: docs/cache.md.

use std::time::Duration;

use ironferry::{Context, Result};

use crate::sources::Source;

/// The settings of a worker.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four flags, each of its own")]
pub(crate) struct Settings {
    /// `CACHE_DATABASE_ENABLED`, or `SUPABASE_ENABLED` where that name can be set: whether there is a database.
    pub(crate) database: bool,
    /// `EMERGENCY_REFRESH`: whether a reader's miss in all layers asks the source.
    pub(crate) emergency: bool,
    /// `BACKGROUND_RETRY`: whether failed saves are tried again by themselves.
    pub(crate) retry: bool,
    /// `GRACEFUL_SHUTDOWN`: whether a pending save keeps its worker alive.
    pub(crate) graceful: bool,
    /// `CACHE_TTL_SECONDS`: memory is believed for so long.
    pub(crate) memory_ttl_ms: f64,
    /// `CACHE_FILE_TTL_SECONDS`: and a file, after it was last compared with the database.
    pub(crate) file_ttl_ms: i64,
    /// `CACHE_MEMORY_MB`, in bytes.
    pub(crate) memory_bytes: usize,
    /// `CACHE_DIR`.
    pub(crate) folder: String,
    /// `CACHE_DATABASE_TIMEOUT_MS`: a slower database is taken for one that is down.
    pub(crate) patience: Duration,
    /// `CACHE_RATE_LIMIT`: requests a minute of one caller from one address.
    pub(crate) rate_limit: u32,
    strava_seconds: u32,
    fundraising_seconds: u32,
}

impl Settings {
    pub(crate) fn of(cx: &Context) -> Result<Self> {
        let seconds = |name, default| cx.setting::<u32>(name, default);
        Ok(Self {
            database: cx.setting("CACHE_DATABASE_ENABLED", cx.setting("SUPABASE_ENABLED", true)?)?,
            emergency: cx.setting("EMERGENCY_REFRESH", true)?,
            retry: cx.setting("BACKGROUND_RETRY", true)?,
            graceful: cx.setting("GRACEFUL_SHUTDOWN", true)?,
            memory_ttl_ms: f64::from(seconds("CACHE_TTL_SECONDS", 300)?) * 1_000.0,
            file_ttl_ms: i64::from(seconds("CACHE_FILE_TTL_SECONDS", 900)?) * 1_000,
            memory_bytes: cx.setting::<usize>("CACHE_MEMORY_MB", 24)? * 1_000_000,
            folder: cx.setting("CACHE_DIR", "/tmp/ironferry-cache".to_owned())?,
            patience: Duration::from_millis(cx.setting("CACHE_DATABASE_TIMEOUT_MS", 2_000)?),
            rate_limit: cx.setting("CACHE_RATE_LIMIT", 100)?,
            strava_seconds: seconds("STRAVA_CACHE_HOURS", 6)?.saturating_mul(3_600),
            fundraising_seconds: seconds("FUNDRAISING_CACHE_MINUTES", 15)?.saturating_mul(60),
        })
    }

    /// Seconds between two refreshes of a source, which is how long its data is fresh.
    pub(crate) fn every(&self, source: &Source) -> u32 {
        let own = match source.kind.as_str() {
            "strava" => self.strava_seconds,
            _ => self.fundraising_seconds,
        };
        source.refresh_seconds.unwrap_or(own).max(1)
    }
}
