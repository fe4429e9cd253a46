//! The layer that outlives everything: `cache_storage`, by the functions of the migration `cache`, whose
//! names and arguments `rows` has.

use bytes::Bytes;
use ironferry::{Context, Error, Raw, Result, Retry};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::{Entry, Key, now_ms, timestamp};
use crate::instance;
use crate::rows::{
    cache_claim, cache_credentials, cache_delete, cache_fail, cache_load, cache_needs_login,
    cache_rotation_begin, cache_rotation_fail, cache_save,
};
use crate::save::Draft;
use crate::settings::Settings;
use crate::sources::Source;

/// After an outage the database is left alone for a moment: readers need not wait for it one by one.
#[derive(Default)]
pub(crate) struct Breaker {
    closed_at: f64,
}

const REST_MS: f64 = 2_000.0;

/// What the database has of a key.
pub(crate) struct Loaded {
    pub(crate) entry: Option<Entry>,
    /// There is a row, and it does not fit its checksum.
    pub(crate) corrupt: bool,
    pub(crate) source: Option<Source>,
}

#[derive(Deserialize)]
struct Row<'a> {
    standing: &'a str,
    #[serde(default)]
    source: Option<Source>,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default)]
    age_ms: Option<i64>,
    #[serde(default)]
    rich_age_ms: Option<i64>,
    #[serde(default)]
    fresh_seconds: Option<u32>,
    #[serde(borrow, default)]
    data: Option<Raw<&'a str>>,
}

pub(crate) async fn get(cx: &Context, settings: &Settings, key: &Key) -> Result<Loaded> {
    let arguments = cache_load::Args { p_project: &key.project, p_type: &key.cache_type };
    let reply = call(cx, settings, cache_load::NAME, &arguments).await?;
    let row: Row<'_> = read(&reply)?;
    #[allow(clippy::cast_precision_loss)] // milliseconds of this era fit
    let at = |age: i64| cx.elapsed_ms() - age as f64;
    let entry = row.data.map(|data| Entry {
        body: reply.slice_ref(data.get().as_bytes()),
        etag: row.etag.unwrap_or_default(),
        fetched_at: at(row.age_ms.unwrap_or(0)),
        rich_at: row.rich_age_ms.map(at),
        fresh_seconds: row.fresh_seconds,
        doubtful: false,
    });
    Ok(Loaded { entry, corrupt: row.standing == "corrupt", source: row.source })
}

/// What became of a save.
#[derive(Deserialize)]
pub(crate) struct Kept {
    /// new, replaced, or older: newer data was there.
    pub(crate) outcome: String,
}

pub(crate) async fn put(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    entry: &Entry,
    draft: &Draft,
) -> Result<Kept> {
    let last_rich_fetch = entry.rich_at.map(|at| timestamp(crate::entry::wall_ms(cx, at)));
    let seconds = entry.fresh_seconds.map(integer);
    let arguments = cache_save::Args {
        p_project: &key.project,
        p_type: &key.cache_type,
        // The data goes in as it is, not taken apart.
        p_data: &ironferry::from_json::<Raw<&str>>(&entry.body).map_err(unreadable)?,
        p_etag: &entry.etag,
        p_last_fetch: &timestamp(entry.fetched_ms(cx)),
        p_sent_at: &timestamp(now_ms(cx)),
        p_last_rich_fetch: last_rich_fetch.as_deref(),
        p_fresh_seconds: seconds,
        p_metadata: draft.metadata.as_ref(),
        p_retention_days: draft.retention_days.map(integer),
        p_make_project: Some(true),
        p_lease_id: draft.lease.as_deref(),
        p_every_seconds: seconds,
    };
    read(&call(cx, settings, cache_save::NAME, &arguments).await?)
}

pub(crate) async fn evict(cx: &Context, settings: &Settings, key: &Key) -> Result<bool> {
    let arguments = cache_delete::Args { p_project: &key.project, p_type: &key.cache_type };
    read(&call(cx, settings, cache_delete::NAME, &arguments).await?)
}

/// Leases of sources.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) claimed: Vec<Claim>,
    /// Somebody else has it for so long, or has just had it.
    #[serde(default)]
    pub(crate) busy_ms: Option<u64>,
    /// It fails, and is not due again for so long.
    #[serde(default)]
    pub(crate) resting_ms: Option<u64>,
    /// It refuses its credentials, and waits for an operator.
    #[serde(default)]
    pub(crate) needs_login: bool,
}

#[derive(Deserialize)]
pub(crate) struct Claim {
    pub(crate) project: String,
    #[serde(rename = "type")]
    pub(crate) cache_type: String,
    pub(crate) lease_id: String,
    pub(crate) source: Source,
}

/// As long as the slowest source may take, and a little more.
const LEASE_SECONDS: i32 = 90;

pub(crate) async fn claim(cx: &Context, settings: &Settings, key: &Key, settled_ms: i32) -> Result<Claims> {
    let arguments = cache_claim::Args {
        p_lease_seconds: LEASE_SECONDS,
        p_limit: None,
        p_project: Some(&key.project),
        p_type: Some(&key.cache_type),
        p_settled_ms: Some(settled_ms),
    };
    read(&call(cx, settings, cache_claim::NAME, &arguments).await?)
}

pub(crate) async fn claim_due(cx: &Context, settings: &Settings, limit: i32) -> Result<Claims> {
    let arguments = cache_claim::Args {
        p_lease_seconds: LEASE_SECONDS,
        p_limit: Some(limit),
        p_project: None,
        p_type: None,
        p_settled_ms: None,
    };
    read(&call(cx, settings, cache_claim::NAME, &arguments).await?)
}

/// Ends a lease without data.
pub(crate) async fn fail(cx: &Context, settings: &Settings, lease: &str, error: &Error) -> Result<()> {
    let retry_after = error.as_details().and_then(|details| details["retry_after"].as_u64());
    let arguments = cache_fail::Args {
        p_lease_id: lease,
        p_error: &format!("{}: {error}", error.as_code()),
        p_retry_seconds: retry_after.map(integer),
    };
    call(cx, settings, cache_fail::NAME, &arguments).await.map(drop)
}

/// Begins to renew the credentials of a leased source and returns the newest, sealed. `None` while another
/// worker may hold newer ones, or when the lease is lost.
pub(crate) async fn begin_rotation(cx: &Context, settings: &Settings, lease: &str) -> Result<Option<String>> {
    let arguments = cache_rotation_begin::Args { p_lease_id: lease };
    read(&call(cx, settings, cache_rotation_begin::NAME, &arguments).await?)
}

/// Ends a renewal that brought no new credentials.
pub(crate) async fn fail_rotation(cx: &Context, settings: &Settings, lease: &str) -> Result<()> {
    let arguments = cache_rotation_fail::Args { p_lease_id: lease };
    call(cx, settings, cache_rotation_fail::NAME, &arguments).await.map(drop)
}

/// Marks a source as one that needs a login, and raises an alert; false where the database has newer
/// credentials than those that were refused.
pub(crate) async fn mark_needs_login(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    error: &Error,
    refused: Option<&str>,
) -> Result<bool> {
    let arguments = cache_needs_login::Args {
        p_project: &key.project,
        p_type: &key.cache_type,
        p_error: &format!("{}: {error}", error.as_code()),
        p_credentials: refused,
    };
    read(&call(cx, settings, cache_needs_login::NAME, &arguments).await?)
}

/// Keeps sealed credentials; false where newer ones are there, or no source.
pub(crate) async fn keep_credentials(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    sealed: &str,
    got_ms: i64,
) -> Result<bool> {
    let arguments = cache_credentials::Args {
        p_project: &key.project,
        p_type: &key.cache_type,
        p_credentials: sealed,
        p_got_at: &timestamp(got_ms),
        p_sent_at: Some(&timestamp(now_ms(cx))),
    };
    read(&call(cx, settings, cache_credentials::NAME, &arguments).await?)
}

/// Calls a function of the database. No `async fn`, which would be compiled for each type of arguments.
pub(crate) fn call<'a, T: Serialize>(
    cx: &'a Context,
    settings: &'a Settings,
    name: &'a str,
    arguments: &T,
) -> impl Future<Output = Result<Bytes>> + use<'a, T> {
    send(cx, settings, name, Raw::of(arguments))
}

/// Reads what it gave.
pub(crate) fn read<'a, T: Deserialize<'a>>(reply: &'a Bytes) -> Result<T> {
    ironferry::from_json(reply).map_err(|problem| {
        Error::internal("the database answered in another shape").code("DATABASE_ERROR").source(problem)
    })
}

/// Whether the database is left alone at the moment.
pub(crate) fn rests(cx: &Context) -> bool {
    cx.elapsed_ms() < instance::with(|instance| instance.breaker.closed_at)
}

/// 503 while there is nobody to ask.
pub(crate) fn is_there(cx: &Context, settings: &Settings) -> Result<()> {
    let why = if !settings.database {
        "the database is switched off"
    } else if rests(cx) {
        "the database was not there a moment ago"
    } else {
        return Ok(());
    };
    Err(away(why))
}

/// Tries twice; what is not there then is taken for down, for a moment.
async fn send(
    cx: &Context,
    settings: &Settings,
    name: &str,
    arguments: std::result::Result<Raw, String>,
) -> Result<Bytes> {
    let arguments = arguments.map_err(unreadable)?;
    is_there(cx, settings)?;
    let attempt = || async {
        // Data may be large: a megabyte more, a second more.
        let patience =
            settings.patience + std::time::Duration::from_millis(arguments.get().len() as u64 / 1_000);
        let query = cx.db().rpc(name, &arguments).fetch_text();
        cx.within(patience, query).await.unwrap_or_else(|_| Err(away("the database is too slow")))
    };
    let retry = Retry { attempts: 2, base: std::time::Duration::from_millis(50), ..Retry::default() };
    let outcome = retry
        .run(cx, || async {
            // A verdict is an answer: trying again would change nothing.
            match attempt().await {
                Err(error) if !is_final(&error) => Err(error),
                outcome => Ok(outcome),
            }
        })
        .await;
    match outcome {
        Ok(answered) => answered,
        Err(error) => {
            if is_away(&error) {
                let until = cx.elapsed_ms() + REST_MS;
                instance::with(|instance| instance.breaker.closed_at = until);
            }
            cx.warn("cache.database_away", json!({ "call": name, "error": error.chain() }));
            // Whoever waits shall come again, whatever it is.
            Err(if error.is_transient() { error } else { away(error) })
        }
    }
}

/// Says something once, though the database may have been away a moment ago.
pub(crate) async fn say(
    cx: &Context,
    settings: &Settings,
    name: &str,
    arguments: std::result::Result<Raw, String>,
) -> Result<()> {
    let arguments = arguments.map_err(unreadable)?;
    let said = cx.within(settings.patience, cx.db().rpc(name, &arguments).execute()).await;
    said.unwrap_or_else(|_| Err(away("the database is too slow")))
}

/// Whether the database has judged what it was asked, or knows no such project. Nothing else is a reason to
/// give up what it has not taken: locks are released, a stale schema is read again, a wrong key replaced.
pub(crate) fn is_final(error: &Error) -> bool {
    is_unknown(error)
        || error.database().is_some_and(|problem| {
            let code = &problem.code;
            code.len() == 5 && ["22", "23", "54"].iter().any(|class| code.starts_with(class))
        })
}

/// Whether the database is not there, so that others need not try.
fn is_away(error: &Error) -> bool {
    let refused = error.database().is_some_and(|problem| {
        // SQLSTATE classes of a server that is overloaded, stopping, or has lost its connections.
        problem.code.len() == 5 && !["08", "53", "57", "58", "XX"].contains(&&problem.code[..2])
    });
    !refused && error.is_transient()
}

/// Whether the database knows no such project.
pub(crate) fn is_unknown(error: &Error) -> bool {
    error.database().is_some_and(|problem| problem.code == "P0002")
}

pub(crate) fn unknown_project() -> Error {
    Error::new(ironferry::Kind::NotFound, "there is no such project").code("PROJECT_NOT_FOUND")
}

fn away(why: impl Into<Box<dyn std::error::Error>>) -> Error {
    Error::unavailable("the database cannot be reached").code("DATABASE_UNAVAILABLE").source(why)
}

fn unreadable(problem: impl Into<Box<dyn std::error::Error>>) -> Error {
    Error::internal("the call of the database could not be written").source(problem)
}

/// What the database's `integer` cannot hold is as good as its greatest.
pub(crate) fn integer(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
