//! Getting data from its source: one refresh at a time, by single flight in the instance and by a
//! lease in the database across instances.

use std::time::Duration;

use ironferry::{Context, Error, Result};
use serde_json::{Value, json};

use crate::database::{self, Claim};
use crate::entry::{Entry, Key, wall_ms};
use crate::read::{self, Found, Layer};
use crate::save::{self, Draft};
use crate::settings::Settings;
use crate::sources::{self, Source};
use crate::{audit, file, flight, instance, memory, pending, tokens};

/// Who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A caller, due or not.
    Asked,
    /// A reader who already has the old data.
    Behind,
    /// A reader who has nothing.
    Emergency,
}

/// A source may take so long for all its pages.
const LIMIT: Duration = Duration::from_secs(80);
/// What another instance has just fetched need not be fetched again.
const SETTLED_MS: i32 = 10_000;
/// A reader waits so long for another instance's refresh.
const PATIENCE_MS: u64 = 15_000;

/// A source that fails and names no time.
const REST_SECONDS: u32 = 30;

/// Refreshes behind the reply.
pub(crate) fn behind(cx: &Context, settings: &Settings, key: &Key) {
    let (cx, settings, key) = (cx.clone(), settings.clone(), key.clone());
    cx.clone().wait_until(async move {
        if let Err(error) = run(&cx, &settings, &key, Why::Behind).await {
            cx.warn("cache.refresh_failed", json!({ "key": key.id(), "error": error.chain() }));
        }
    });
}

/// Refreshes, or waits for the refresh that is under way.
pub(crate) async fn run(cx: &Context, settings: &Settings, key: &Key, why: Why) -> Result<Found> {
    let (inside, settings, wanted) = (cx.clone(), settings.clone(), key.clone());
    flight::join(cx, ["refresh/", &key.id()].concat(), || async move {
        claim(&inside, &settings, &wanted, why).await
    })
    .await
}

async fn claim(cx: &Context, settings: &Settings, key: &Key, why: Why) -> Result<Found> {
    if why != Why::Asked {
        let until = instance::with(|instance| {
            instance.resting.iter().find(|(known, _)| known == key).map(|(_, until)| *until)
        });
        if until.is_some_and(|until| cx.elapsed_ms() < until) {
            return Err(resting());
        }
    }
    let settled = if why == Why::Asked { 0 } else { SETTLED_MS };
    match database::claim(cx, settings, key, settled).await {
        Ok(claims) if claims.needs_login => Err(sources::needs_login()),
        Ok(claims) => match (claims.claimed.into_iter().next(), claims.busy_ms) {
            (Some(claim), _) => fetch(cx, settings, key, &claim.source, Some(claim.lease_id)).await,
            (None, Some(0)) if claims.resting_ms.is_some() => Err(resting()),
            (None, Some(busy_ms)) => elsewhere(cx, settings, key, busy_ms, why).await,
            (None, None) => match sources::built_in(cx, key)? {
                Some(source) => fetch(cx, settings, key, &source, None).await,
                None => Err(no_source()),
            },
        },
        Err(error) if !database::is_final(&error) => match recall(cx, settings, key).await {
            Some(source) => fetch(cx, settings, key, &source, None).await,
            None if settings.database => Err(error),
            None => Err(no_source()),
        },
        Err(error) => Err(error),
    }
}

/// Another instance is at it, or has just been: what it saves will be in the database. Who has asked for
/// a refresh waits for another row than the one that is there, and others for one that they do not have.
async fn elsewhere(cx: &Context, settings: &Settings, key: &Key, busy_ms: u64, why: Why) -> Result<Found> {
    let mut before = (why != Why::Asked).then(|| memory::peek(key));
    let until = cx.elapsed_ms() + f64::from(u32::try_from(busy_ms.min(PATIENCE_MS)).unwrap_or(0));
    loop {
        let asked_at = cx.elapsed_ms();
        let loaded = database::get(cx, settings, key).await?;
        let is_new = |before: &Option<Entry>| match (before, &loaded.entry) {
            // The same data may have been fetched once more.
            (Some(before), Some(entry)) => entry.etag != before.etag || entry.is_later_than(before),
            (_, entry) => entry.is_some(),
        };
        if before.as_ref().is_some_and(|before| busy_ms == 0 || is_new(before))
            && let Some(entry) = loaded.entry
        {
            if read::fill(cx, settings, key, &entry, asked_at).await {
                memory::put(cx, settings, key, &entry, settings.memory_ttl_ms);
            }
            return Ok(Found { entry, layer: Layer::Origin });
        }
        before.get_or_insert(loaded.entry);
        if why == Why::Behind || cx.elapsed_ms() >= until {
            return Err(Error::unavailable("another instance is refreshing this data")
                .code("REFRESHING")
                .details(json!({ "retry_after": 2 })));
        }
        cx.sleep(Duration::from_millis(250)).await;
    }
}

/// Refreshes a source that has been leased.
pub(crate) async fn fetch(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: &Source,
    lease: Option<String>,
) -> Result<Found> {
    let started = cx.elapsed_ms();
    let previous = pending::local_copy(cx, settings, key).await;
    let mut source = source.clone();
    if let Some(sealed) = tokens::held(key) {
        // The database has an older pair, which is used up.
        source.credentials = Some(sealed);
    }
    let source = &source;
    remember(cx, settings, key, source).await;
    let fetching = sources::fetch(cx, settings, key, source, previous.as_ref(), lease.as_deref());
    let fetched = cx.within(LIMIT, fetching).await;
    let fetched = fetched.unwrap_or_else(|_| Err(sources::failed(source, "it takes too long", 504)));
    let outcome = match fetched {
        Ok(fetched) => keep(cx, settings, key, source, fetched, started, lease.clone()).await,
        Err(error) => Err(error),
    };
    audit::refreshed(cx, key, &outcome, started);
    rest(cx, key, &outcome);
    if let (Err(error), Some(lease)) = (&outcome, &lease)
        && let Err(unsaid) = database::fail(cx, settings, lease, error).await
    {
        cx.warn("cache.lease_kept", json!({ "key": key.id(), "error": unsaid.chain() }));
    }
    outcome
}

/// A source that has just failed is left alone for a moment, or for as long as it asks.
fn rest(cx: &Context, key: &Key, outcome: &Result<Found>) {
    let seconds = outcome.as_ref().err().map(|error| {
        let asked = error.as_details().and_then(|details| details["retry_after"].as_u64());
        asked.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(REST_SECONDS)
    });
    let now = cx.elapsed_ms();
    instance::with(|instance| {
        instance.resting.retain(|(known, until)| known != key && *until > now);
        if let Some(seconds) = seconds {
            instance.resting.push((key.clone(), now + f64::from(seconds) * 1_000.0));
        }
    });
}

fn resting() -> Error {
    Error::unavailable("the source has just failed and is left alone for a while")
        .code("SOURCE_RESTING")
        .details(json!({ "retry_after": REST_SECONDS }))
}

async fn keep(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: &Source,
    fetched: sources::Fetched,
    started: f64,
    lease: Option<String>,
) -> Result<Found> {
    let draft = Draft {
        body: fetched.body,
        // From the begin: what somebody saves while the source is still sending is newer.
        fetched_ms: Some(wall_ms(cx, started)),
        rich_at: fetched.rich_at,
        fresh_seconds: Some(settings.every(source)),
        lease,
        ..Draft::default()
    };
    let (_, entry) = save::save(cx, settings, key, draft).await?;
    Ok(Found { entry, layer: Layer::Origin })
}

/// Refreshes what is due: the work of a tick. Gives how many succeeded and failed.
pub(crate) async fn due(cx: &Context, settings: &Settings, limit: i32) -> Result<Value> {
    let claims = database::claim_due(cx, settings, limit).await?;
    let (mut refreshed, mut failed) = (0, 0);
    let running = claims.claimed.into_iter().map(|claim| one_due(cx, settings, claim));
    for outcome in futures_util::future::join_all(running).await {
        if outcome { refreshed += 1 } else { failed += 1 }
    }
    Ok(json!({ "refreshed": refreshed, "failed": failed }))
}

/// What goes wrong with one source, a panic too, is its own.
async fn one_due(cx: &Context, settings: &Settings, claim: Claim) -> bool {
    let Ok(key) = Key::new(&claim.project, &claim.cache_type) else {
        return false;
    };
    let (inside, settings, wanted) = (cx.clone(), settings.clone(), key.clone());
    // Not by the name of the data: a reader's flight of that name may be waiting for this very lease.
    let name = ["lease/", &claim.lease_id].concat();
    let work = async move { fetch(&inside, &settings, &wanted, &claim.source, Some(claim.lease_id)).await };
    let outcome = flight::join(cx, name, || work).await;
    if let Err(error) = &outcome {
        cx.warn("cache.refresh_failed", json!({ "key": key.id(), "error": error.chain() }));
    }
    outcome.is_ok()
}

/// Keeps what the database said of a source, for when it is away. Credentials in it are sealed.
pub(crate) async fn remember(cx: &Context, settings: &Settings, key: &Key, source: &Source) {
    let Ok(content) = ironferry::to_json(source).map(String::into_bytes) else {
        return;
    };
    let name = file::name(key, "source");
    if file::read(cx, settings, &name).await.is_ok_and(|known| known == content) {
        return;
    }
    if let Err(error) = file::write(cx, settings, &name, &[&content]).await {
        file::broken(cx, key, &error);
    }
}

/// What the database last said of a source, else what `CACHE_SOURCES` says.
pub(crate) async fn recall(cx: &Context, settings: &Settings, key: &Key) -> Option<Source> {
    let kept = file::read(cx, settings, &file::name(key, "source")).await.ok();
    let kept: Option<Source> = kept.and_then(|content| ironferry::from_json(&content).ok());
    kept.or_else(|| sources::built_in(cx, key).ok().flatten())
}

/// The newest data that this instance knows, for a source that adds to it.
pub(crate) fn body_of(entry: Option<&Entry>) -> Value {
    entry.and_then(|entry| ironferry::from_json(&entry.body).ok()).unwrap_or(Value::Null)
}

fn no_source() -> Error {
    Error::new(ironferry::Kind::NotFound, "this data has no source").code("NO_SOURCE")
}
