//! The layer that outlives an instance: a file each in `CACHE_DIR`, written beside and renamed.
//!
//! A line of JSON about the entry, then the data as it is. `<key>.json` is the entry, `<key>.pending`
//! marks one that the database has not taken yet, `<key>.source` is what the database last said of
//! its source, `<key>.token` credentials that are still to be kept there, `<key>.spare` those that it
//! did not keep.

use bytes::Bytes;
use ironferry::{Context, FileOperation, HostError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::{Entry, Key, elapsed_at, hash, now_ms, wall_ms};
use crate::settings::Settings;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    sha256: String,
    etag: String,
    fetched_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rich_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fresh_seconds: Option<u32>,
    checked_ms: i64,
}

/// What a file gave.
pub(crate) enum Read {
    /// An entry, and whether it was compared with the database lately enough to be believed.
    Sound(Entry, bool),
    /// There is none.
    Absent,
    /// There is one that is damaged.
    Corrupt,
    /// The disk does not work.
    Broken(HostError),
}

/// Time stamps that lie further ahead were made by another clock, or ours was set.
const LEEWAY_MS: i64 = 60_000;

pub(crate) async fn get(cx: &Context, settings: &Settings, key: &Key) -> Read {
    let content = match read(cx, settings, key, "json").await {
        Ok(content) => content,
        Err(HostError::NotFound) => return Read::Absent,
        Err(error) => return Read::Broken(error),
    };
    parse(cx, settings, &content).unwrap_or(Read::Corrupt)
}

fn parse(cx: &Context, settings: &Settings, content: &Bytes) -> Option<Read> {
    let line = content.iter().position(|byte| *byte == b'\n')?;
    let head: Head = ironferry::from_json(&content[..line]).ok()?;
    let body = content.slice(line + 1..);
    if hash(&body) != head.sha256 {
        return None;
    }
    let now = now_ms(cx);
    let entry = Entry {
        body,
        etag: head.etag,
        fetched_at: elapsed_at(cx, head.fetched_ms),
        rich_at: head.rich_ms.map(|ms| elapsed_at(cx, ms)),
        fresh_seconds: head.fresh_seconds,
        doubtful: head.fetched_ms > now + LEEWAY_MS,
    };
    let checked = (-LEEWAY_MS..settings.file_ttl_ms).contains(&(now - head.checked_ms));
    Some(Read::Sound(entry, checked))
}

/// Unless it is no longer wanted once it is written.
pub(crate) async fn put(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    entry: &Entry,
    is_wanted: &dyn Fn() -> bool,
) -> Result<(), HostError> {
    let head = Head {
        sha256: hash(&entry.body),
        etag: entry.etag.clone(),
        fetched_ms: entry.fetched_ms(cx),
        rich_ms: entry.rich_at.map(|at| wall_ms(cx, at)),
        fresh_seconds: entry.fresh_seconds,
        checked_ms: now_ms(cx),
    };
    let mut content = ironferry::to_json(&head).map_err(HostError::Failed)?.into_bytes();
    content.push(b'\n');
    content.extend_from_slice(&entry.body);
    write_if(cx, settings, &path(settings, key, "json"), content, is_wanted).await
}

/// Removes the entry and all that is about it.
pub(crate) async fn evict(cx: &Context, settings: &Settings, key: &Key) -> Result<(), HostError> {
    for suffix in ["json", "pending"] {
        remove(cx, settings, key, suffix).await?;
    }
    Ok(())
}

pub(crate) async fn remove(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    suffix: &str,
) -> Result<(), HostError> {
    match cx.file(FileOperation::Remove(path(settings, key, suffix))).await {
        Ok(_) | Err(HostError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Tells that an entry's file could not be used.
pub(crate) fn broken(cx: &Context, key: &Key, error: &HostError) {
    cx.warn("cache.file_broken", json!({ "key": key.id(), "error": error.to_string() }));
}

pub(crate) async fn rename(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    from: &str,
    to: &str,
) -> Result<(), HostError> {
    let [from, to] = [from, to].map(|suffix| path(settings, key, suffix));
    cx.file(FileOperation::Rename(from, to)).await.map(drop)
}

pub(crate) async fn read(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    suffix: &str,
) -> Result<Bytes, HostError> {
    cx.file(FileOperation::Read(path(settings, key, suffix))).await
}

/// Writes what is beside an entry.
pub(crate) async fn note(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    suffix: &str,
    content: Vec<u8>,
) -> Result<(), HostError> {
    write(cx, settings, &path(settings, key, suffix), content).await
}

/// The keys that have something of this suffix.
pub(crate) async fn list(cx: &Context, settings: &Settings, suffix: &str) -> Result<Vec<Key>, HostError> {
    let names = match cx.file(FileOperation::List(settings.folder.clone())).await {
        Err(HostError::NotFound) => return Ok(Vec::new()),
        names => names?,
    };
    let names = String::from_utf8_lossy(&names).into_owned();
    let keys = names.lines().filter_map(|name| {
        let (key, found) = name.rsplit_once('.')?;
        let (project, cache_type) = key.split_once('.')?;
        (found == suffix).then(|| Key::new(project, cache_type).ok()).flatten()
    });
    Ok(keys.collect())
}

fn path(settings: &Settings, key: &Key, suffix: &str) -> String {
    [&settings.folder, "/", &key.id(), ".", suffix].concat()
}

/// Writes a file, whatever there is.
pub(crate) fn write<'a>(
    cx: &'a Context,
    settings: &'a Settings,
    path: &'a str,
    content: Vec<u8>,
) -> impl Future<Output = Result<(), HostError>> + 'a {
    write_if(cx, settings, path, content, &|| true)
}

/// Beside and renamed: whoever reads sees the old file or the new one, whole.
async fn write_if(
    cx: &Context,
    settings: &Settings,
    path: &str,
    content: Vec<u8>,
    is_wanted: &dyn Fn() -> bool,
) -> Result<(), HostError> {
    let beside = [&settings.folder, "/", &cx.uuid(), ".new"].concat();
    let mut done = cx.file(FileOperation::Write(beside.clone(), content.into())).await;
    if done.is_ok() && is_wanted() {
        done = cx.file(FileOperation::Rename(beside.clone(), path.to_owned())).await;
        if done.is_ok() {
            return Ok(());
        }
    }
    // Half a file on a full disk takes what the next one needs. That it is not there is fine.
    let _ = cx.file(FileOperation::Remove(beside)).await;
    done.map(drop)
}
