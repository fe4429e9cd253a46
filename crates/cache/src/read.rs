//! The read path: memory, file, database, source. Each layer that missed is filled by the one below,
//! and what has expired is given at once and refreshed behind.

use ironferry::{Context, Error, Kind, Result};

use crate::entry::{Entry, Key};
use crate::refresh::{self, Why};
use crate::settings::Settings;
use crate::sources::Source;
use crate::{audit, database, file, flight, memory, pending};

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Memory,
    File,
    Database,
    Origin,
    /// Any layer, with data that has expired.
    Stale,
}

impl Layer {
    /// As in `X-Cache`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Layer::Memory => "memory",
            Layer::File => "file",
            Layer::Database => "database",
            Layer::Origin => "origin",
            Layer::Stale => "stale",
        }
    }
}

/// An entry and who had it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) layer: Layer,
}

/// A copy that stands in while the database is away is believed for so long: then it is looked for again.
const STAND_IN_MS: f64 = 2_000.0;

pub(crate) async fn read(cx: &Context, settings: &Settings, key: &Key) -> Result<Found> {
    let now = cx.elapsed_ms();
    if let Some(entry) = memory::get(key, now) {
        if entry.is_fresh(now) {
            return Ok(Found { entry, layer: Layer::Memory });
        }
        // Known to be the newest there is, and expired.
        refresh::behind(cx, settings, key);
        return Ok(Found { entry, layer: Layer::Stale });
    }
    let (inside, settings, wanted) = (cx.clone(), settings.clone(), key.clone());
    flight::join(cx, ["read/", &key.id()].concat(), || async move { look(&inside, &settings, &wanted).await })
        .await
}

/// Below memory.
async fn look(cx: &Context, settings: &Settings, key: &Key) -> Result<Found> {
    let since = cx.elapsed_ms();
    let mut copy = memory::peek(key).map(|entry| (entry, Layer::Memory));
    match file::get(cx, settings, key).await {
        file::Read::Sound(entry, believed) => {
            if believed && entry.is_fresh(cx.elapsed_ms()) {
                return Ok(give(cx, settings, key, entry, Layer::File, settings.memory_ttl_ms, since));
            }
            if copy.as_ref().is_none_or(|(other, _)| other.fetched_at <= entry.fetched_at) {
                copy = Some((entry, Layer::File));
            }
        }
        file::Read::Absent => {}
        file::Read::Corrupt => audit::repaired(cx, key, "file"),
        file::Read::Broken(error) => file::broken(cx, key, &error),
    }
    match database::get(cx, settings, key).await {
        Ok(loaded) => below(cx, settings, key, copy, loaded, since).await,
        Err(error) if database::is_unknown(&error) && !pending::is_pending(key) => {
            clear(cx, settings, key, since).await;
            Err(database::unknown_project())
        }
        // Also of a project that only a pending save will make.
        Err(error) => stand_in(cx, settings, key, copy, error, since).await,
    }
}

/// The database has answered.
async fn below(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    copy: Option<(Entry, Layer)>,
    loaded: database::Loaded,
    since: f64,
) -> Result<Found> {
    let source = loaded.source;
    if let Some(source) = &source {
        refresh::remember(cx, settings, key, source).await;
    }
    // Ours is only better where the database has not taken it yet, or has lost its own.
    let ours = copy.filter(|_| loaded.corrupt || pending::is_pending(key));
    if loaded.corrupt {
        audit::repaired(cx, key, "database");
        if ours.is_some() {
            pending::add(key, cx.elapsed_ms());
            pending::back_off(cx, settings);
        }
    }
    let found = match (ours, loaded.entry) {
        (Some((ours, layer)), Some(entry)) if ours.fetched_at > entry.fetched_at => Some((ours, layer)),
        (Some(ours), None) => Some(ours),
        (_, Some(entry)) => {
            if !fill(cx, settings, key, &entry, since).await {
                // True when it was asked for, and not to be kept.
                let is_fresh = entry.is_fresh(cx.elapsed_ms());
                return Ok(Found { entry, layer: if is_fresh { Layer::Database } else { Layer::Stale } });
            }
            Some((entry, Layer::Database))
        }
        (None, None) => None,
    };
    match found {
        Some((entry, layer)) if entry.is_fresh(cx.elapsed_ms()) => {
            Ok(give(cx, settings, key, entry, layer, settings.memory_ttl_ms, since))
        }
        Some((entry, _)) => {
            let found = give(cx, settings, key, entry, Layer::Stale, settings.memory_ttl_ms, since);
            if source.is_some() {
                refresh::behind(cx, settings, key);
            }
            Ok(found)
        }
        None => {
            if !loaded.corrupt {
                // Deleted elsewhere.
                clear(cx, settings, key, since).await;
            }
            // However lately somebody has fetched it: that is lost.
            let why = if loaded.corrupt { Why::Asked } else { Why::Emergency };
            emergency(cx, settings, key, source, why).await
        }
    }
}

/// The database is away: a copy will do, however old, and else the source.
async fn stand_in(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    copy: Option<(Entry, Layer)>,
    error: Error,
    since: f64,
) -> Result<Found> {
    let source = refresh::recall(cx, settings, key).await;
    match copy {
        Some((entry, layer)) if entry.is_fresh(cx.elapsed_ms()) => {
            Ok(give(cx, settings, key, entry, layer, STAND_IN_MS, since))
        }
        Some((entry, _)) => {
            let found = give(cx, settings, key, entry, Layer::Stale, STAND_IN_MS, since);
            if source.is_some() {
                refresh::behind(cx, settings, key);
            }
            Ok(found)
        }
        None if source.is_some() && settings.emergency => {
            emergency(cx, settings, key, source, Why::Emergency).await
        }
        None if settings.database => Err(error),
        None => Err(nothing()),
    }
}

/// No layer has it.
async fn emergency(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: Option<Source>,
    why: Why,
) -> Result<Found> {
    if source.is_none() || !settings.emergency {
        return Err(nothing());
    }
    refresh::run(cx, settings, key, why).await
}

/// Gives an entry and holds it in memory, unless the data was changed since it was looked for.
fn give(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    entry: Entry,
    layer: Layer,
    believed_ms: f64,
    since: f64,
) -> Found {
    if !pending::is_changed(key, since) {
        memory::put(cx, settings, key, &entry, believed_ms);
    }
    Found { entry, layer }
}

/// Puts what the database had into the file, unless that is not to be kept: false then.
pub(crate) async fn fill(cx: &Context, settings: &Settings, key: &Key, entry: &Entry, asked_at: f64) -> bool {
    let is_current = || pending::is_current(key, asked_at);
    if !is_current() {
        return false;
    }
    if let Err(error) = file::put(cx, settings, key, entry, &is_current).await {
        file::broken(cx, key, &error);
    }
    is_current()
}

/// The database has nothing.
async fn clear(cx: &Context, settings: &Settings, key: &Key, asked_at: f64) {
    if !pending::is_current(key, asked_at) {
        return;
    }
    memory::evict(key);
    if let Err(error) = file::evict(cx, settings, key).await {
        file::broken(cx, key, &error);
    }
}

pub(crate) fn nothing() -> Error {
    Error::new(Kind::NotFound, "nothing is cached under this name, and it has no source").code("CACHE_MISS")
}
