//! The save path: validate, memory, file, database. What the database does not take now waits in `pending`
//! until it is in.

use bytes::Bytes;
use futures_util::future::join;
use ironferry::{Context, Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entry::{Entry, Key, elapsed_at, hash, now_ms};
use crate::settings::Settings;
use crate::{database, file, memory, news, pending, validate};

/// Data that is to be saved.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) body: Bytes,
    /// When it was fetched, milliseconds since 1970; now, unless somebody says otherwise.
    pub(crate) fetched_ms: Option<i64>,
    pub(crate) rich_at: Option<f64>,
    pub(crate) fresh_seconds: Option<u32>,
    pub(crate) retention_days: Option<u32>,
    pub(crate) metadata: Option<Value>,
    /// The lease that it was fetched under.
    pub(crate) lease: Option<String>,
}

/// The mark of a save that the database has not taken, with what the file does not say.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// When the save was made, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) since_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    retention_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    metadata: Option<Value>,
}

/// What became of a save.
#[derive(Clone, Debug, Serialize)]
pub struct Saved {
    /// Always true: a save that failed is an error.
    pub success: bool,
    /// new, replaced, older (newer data was there and stays), pending, or local (the database is turned off).
    pub outcome: String,
    /// The layers that have it.
    pub layers: Vec<&'static str>,
    /// Whether the database is still to take it.
    pub pending: bool,
    /// The version.
    pub etag: String,
}

/// Saves, and gives the entry too.
pub(crate) async fn save(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    draft: Draft,
) -> Result<(Saved, Entry)> {
    validate::check(&key.cache_type, &draft.body)?;
    let entry = Entry {
        etag: hash(&draft.body)[..32].to_owned(),
        body: draft.body.clone(),
        // What claims to come from the future comes from now.
        fetched_at: draft.fetched_ms.map_or(cx.elapsed_ms(), |ms| elapsed_at(cx, ms).min(cx.elapsed_ms())),
        rich_at: draft.rich_at,
        fresh_seconds: draft.fresh_seconds,
        doubtful: false,
    };
    let entry = match newer_copy(cx, settings, key, &entry).await {
        None => entry,
        // The refresh is over, and its lease ends with the better data.
        Some(newer) if draft.lease.is_some() => newer,
        Some(newer) => {
            let (layers, etag) = (vec!["memory"], newer.etag.clone());
            return Ok((
                Saved { success: true, outcome: "older".into(), layers, pending: false, etag },
                newer,
            ));
        }
    };

    // From here on nobody fills a layer with older data, and who has an answer for an older version sees this.
    pending::begin(key, &entry);
    memory::put(cx, settings, key, &entry, settings.memory_ttl_ms);
    let mut layers = Vec::new();
    let since_ms = Some(now_ms(cx));
    let mark = Mark { since_ms, retention_days: draft.retention_days, metadata: draft.metadata.clone() };
    match to_file(cx, settings, key, &entry, &mark).await {
        Ok(()) => layers.push("file"),
        Err(error) => file::broken(cx, key, &error),
    }
    layers.push("memory");
    let answer = database::put(cx, settings, key, &entry, &draft).await;
    pending::end(key, &entry, cx.elapsed_ms());
    let outcome = match answer {
        Ok(kept) => {
            pending::settle(cx, settings, key, &entry, &kept.outcome).await;
            layers.push("database");
            kept.outcome
        }
        Err(_) if !settings.database => "local".to_owned(),
        Err(error) if !database::is_final(&error) => {
            news::failed(&error);
            if !pending::add(key, &entry, &mark, cx.elapsed_ms()) {
                pending::take_back(cx, settings, key, &entry).await;
                return Err(error);
            }
            pending::back_off(cx, settings);
            "pending".to_owned()
        }
        Err(error) => {
            pending::take_back(cx, settings, key, &entry).await;
            return Err(refused(error));
        }
    };
    let pending = outcome == "pending";
    Ok((Saved { success: true, outcome, layers, pending, etag: entry.etag.clone() }, entry))
}

/// Starts both writes at once, so that nothing comes between them.
pub(crate) async fn to_file(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    entry: &Entry,
    mark: &Mark,
) -> Result<(), ironferry::HostError> {
    let mark = ironferry::to_json(mark).map_err(ironferry::HostError::Failed)?;
    let (name, mark) = (file::name(key, "pending"), [mark.as_bytes()]);
    let writes = join(file::write(cx, settings, &name, &mark), file::put(cx, settings, key, entry)).await;
    writes.0.and(writes.1)
}

/// What this instance has that was fetched later.
async fn newer_copy(cx: &Context, settings: &Settings, key: &Key, entry: &Entry) -> Option<Entry> {
    let copy = pending::local_copy(cx, settings, key).await;
    copy.filter(|copy| !copy.doubtful && copy.is_later_than(entry))
}

/// Reads the mark that an earlier instance left.
pub(crate) async fn read_mark(cx: &Context, settings: &Settings, key: &Key) -> Mark {
    match file::read(cx, settings, &file::name(key, "pending")).await {
        Ok(mark) => ironferry::from_json(&mark).unwrap_or_default(),
        Err(_) => Mark::default(),
    }
}

impl Mark {
    /// Returns what of the save the entry does not hold.
    pub(crate) fn draft(&self) -> Draft {
        Draft { retention_days: self.retention_days, metadata: self.metadata.clone(), ..Draft::default() }
    }
}

pub(crate) fn refused(error: Error) -> Error {
    if database::is_unknown(&error) {
        return database::unknown_project();
    }
    if database::is_final(&error) {
        return Error::new(Kind::BadRequest, "the database does not accept this data")
            .code("CACHE_REFUSED")
            .source(error);
    }
    error
}
