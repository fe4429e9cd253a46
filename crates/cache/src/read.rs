//! The read path: memory, file, database, source. Each layer that missed is filled by the one below,
//! and what has expired is given at once and refreshed behind.

use ironferry::{Context, Error, Kind, Result};

use crate::entry::{Entry, Key};
use crate::refresh::{self, Why};
use crate::save::Mark;
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
    flight::join(cx, ["read/", &key.id()].concat(), || async move {
        let look = Look { cx: &inside, settings: &settings, key: &wanted, since: inside.elapsed_ms() };
        look.below_memory().await
    })
    .await
}

/// One look into the layers below memory.
struct Look<'a> {
    cx: &'a Context,
    settings: &'a Settings,
    key: &'a Key,
    /// When it began: what was changed later is newer than what it finds.
    since: f64,
}

impl Look<'_> {
    async fn below_memory(&self) -> Result<Found> {
        let Self { cx, settings, key, .. } = *self;
        let mut copy = pending::held(key).map(|entry| (entry, Layer::Memory));
        match file::get(cx, settings, key).await {
            file::Read::Sound(entry, believed) => {
                if believed && entry.is_fresh(cx.elapsed_ms()) {
                    return Ok(self.give(entry, Layer::File, settings.memory_ttl_ms));
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
            Ok(loaded) => self.loaded(copy, loaded).await,
            Err(error) if database::is_unknown(&error) && !pending::is_pending(key) => {
                self.clear().await;
                Err(database::unknown_project())
            }
            // Also of a project that only a pending save will make.
            Err(error) => self.stand_in(copy, error).await,
        }
    }

    /// The database has answered.
    async fn loaded(&self, copy: Option<(Entry, Layer)>, loaded: database::Loaded) -> Result<Found> {
        let Self { cx, settings, key, since } = *self;
        let source = loaded.source;
        if let Some(source) = &source {
            refresh::remember(cx, settings, key, source).await;
        }
        // Ours is only better where the database has not taken it yet, or has lost its own.
        let ours = copy.filter(|_| loaded.corrupt || pending::is_pending(key));
        if loaded.corrupt {
            audit::repaired(cx, key, "database");
            if let Some((entry, _)) = &ours
                && pending::add(key, entry, &Mark::default(), cx.elapsed_ms())
            {
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
        if let Some((entry, layer)) = found {
            return Ok(self.answer(entry, layer, settings.memory_ttl_ms, source.is_some()));
        }
        if !loaded.corrupt {
            // Deleted elsewhere.
            self.clear().await;
        }
        // However lately somebody has fetched it: that is lost.
        let why = if loaded.corrupt { Why::Asked } else { Why::Emergency };
        self.emergency(source, why).await
    }

    /// The database is away: a copy will do, however old, and else the source.
    async fn stand_in(&self, copy: Option<(Entry, Layer)>, error: Error) -> Result<Found> {
        let Self { cx, settings, key, .. } = *self;
        let source = refresh::recall(cx, settings, key).await;
        match copy {
            Some((entry, layer)) => Ok(self.answer(entry, layer, STAND_IN_MS, source.is_some())),
            None if source.is_some() && settings.emergency => self.emergency(source, Why::Emergency).await,
            None if settings.database => Err(error),
            None => Err(nothing()),
        }
    }

    /// No layer has it.
    async fn emergency(&self, source: Option<Source>, why: Why) -> Result<Found> {
        if source.is_none() || !self.settings.emergency {
            return Err(nothing());
        }
        refresh::run(self.cx, self.settings, self.key, why).await
    }

    /// Gives an entry, and refreshes behind what has expired.
    fn answer(&self, entry: Entry, layer: Layer, believed_ms: f64, has_source: bool) -> Found {
        if entry.is_fresh(self.cx.elapsed_ms()) {
            return self.give(entry, layer, believed_ms);
        }
        let found = self.give(entry, Layer::Stale, believed_ms);
        if has_source {
            refresh::behind(self.cx, self.settings, self.key);
        }
        found
    }

    /// Gives an entry and holds it in memory, unless the data was changed since it was looked for.
    fn give(&self, entry: Entry, layer: Layer, believed_ms: f64) -> Found {
        if !pending::is_changed(self.key, self.since) {
            memory::put(self.cx, self.settings, self.key, &entry, believed_ms);
        }
        Found { entry, layer }
    }

    /// The database has nothing.
    async fn clear(&self) {
        if !pending::is_current(self.key, self.since) {
            return;
        }
        memory::evict(self.key);
        if let Err(error) = file::evict(self.cx, self.settings, self.key).await {
            file::broken(self.cx, self.key, &error);
        }
    }
}

/// Puts what the database had into the file, unless that is not to be kept: false then.
pub(crate) async fn fill(cx: &Context, settings: &Settings, key: &Key, entry: &Entry, asked_at: f64) -> bool {
    let is_current = || pending::is_current(key, asked_at);
    if !is_current() {
        return false;
    }
    if let Err(error) = file::put(cx, settings, key, entry).await {
        file::broken(cx, key, &error);
    }
    is_current()
}

pub(crate) fn nothing() -> Error {
    Error::new(Kind::NotFound, "nothing is cached under this name, and it has no source").code("CACHE_MISS")
}
