//! The file layer: one file for each item, in `CACHE_DIR` below the worker's own `/tmp`. Files outlive an
//! instance that crashed and end with the worker, so nothing that must last is kept in them alone.
//!
//! The first line of a file is the SHA-256 of the rest. A file that does not fit its checksum, half-written
//! ones among them, is removed and counts as missing. `<key>.json` is an entry (a line of JSON about it,
//! then the data), `<key>.pending` marks a save that the database has not taken, `<key>.source` is what the
//! database last said of the source, `<key>.token` are credentials that the database has not taken.

use bytes::Bytes;
use futures_util::future::join;
use ironferry::{Context, FileOperation, HostError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::{Entry, Key, elapsed_at, hash, now_ms, wall_ms};
use crate::instance;
use crate::settings::Settings;

/// The line before the data of an entry.
#[derive(Serialize, Deserialize)]
struct Head {
    etag: String,
    fetched_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rich_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fresh_seconds: Option<u32>,
    checked_ms: i64,
}

/// The outcome of reading an entry.
pub(crate) enum Read {
    /// An entry, and whether it was compared with the database lately enough to be believed.
    Sound(Entry, bool),
    /// No file.
    Absent,
    /// A damaged file, which is removed.
    Corrupt,
    /// The disk does not work.
    Broken(HostError),
}

/// Why a file gave no content.
#[derive(Debug)]
pub(crate) enum Missing {
    /// No file.
    Absent,
    /// A file that does not fit its checksum.
    Damaged,
    /// The disk does not work.
    Broken(HostError),
}

/// Timestamps further ahead than this were made by another clock, or ours was set.
const LEEWAY_MS: i64 = 60_000;
/// Hexadecimal digits of a SHA-256.
const CHECKSUM: usize = 64;
/// The files of a key, by suffix.
const SUFFIXES: [&str; 4] = ["json", "pending", "source", "token"];
/// The files of the instance.
pub(crate) const AUDIT: &str = "audit.log";
pub(crate) const CALLERS: &str = "callers.log";
pub(crate) const IDENTITY: &str = "instance.id";

pub(crate) async fn get(cx: &Context, settings: &Settings, key: &Key) -> Read {
    match read(cx, settings, &name(key, "json")).await {
        Ok(content) => parse(cx, settings, &content).unwrap_or(Read::Corrupt),
        Err(Missing::Absent) => Read::Absent,
        Err(Missing::Damaged) => Read::Corrupt,
        Err(Missing::Broken(error)) => Read::Broken(error),
    }
}

fn parse(cx: &Context, settings: &Settings, content: &Bytes) -> Option<Read> {
    let line = content.iter().position(|byte| *byte == b'\n')?;
    let head: Head = ironferry::from_json(&content[..line]).ok()?;
    let now = now_ms(cx);
    let entry = Entry {
        body: content.slice(line + 1..),
        etag: head.etag,
        fetched_at: elapsed_at(cx, head.fetched_ms),
        rich_at: head.rich_ms.map(|ms| elapsed_at(cx, ms)),
        fresh_seconds: head.fresh_seconds,
        doubtful: head.fetched_ms > now + LEEWAY_MS,
    };
    let checked = (-LEEWAY_MS..settings.file_ttl_ms).contains(&(now - head.checked_ms));
    Some(Read::Sound(entry, checked))
}

/// Writes an entry. The caller decides in the same turn that it is wanted: writes of one file keep the
/// order in which they are started.
pub(crate) async fn put(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    entry: &Entry,
) -> Result<(), HostError> {
    let head = Head {
        etag: entry.etag.clone(),
        fetched_ms: entry.fetched_ms(cx),
        rich_ms: entry.rich_at.map(|at| wall_ms(cx, at)),
        fresh_seconds: entry.fresh_seconds,
        checked_ms: now_ms(cx),
    };
    let head = ironferry::to_json(&head).map_err(HostError::Failed)?;
    write(cx, settings, &name(key, "json"), &[head.as_bytes(), b"\n", &entry.body]).await
}

/// Removes the entry and its mark.
pub(crate) async fn evict(cx: &Context, settings: &Settings, key: &Key) -> Result<(), HostError> {
    // Both removals start at once: a save that comes between them would lose its mark.
    let names = [name(key, "json"), name(key, "pending")];
    let [entry, mark] = names.each_ref().map(|name| remove(cx, settings, name));
    let (entry, mark) = join(entry, mark).await;
    entry.and(mark)
}

/// Removes a file; succeeds where none is.
pub(crate) async fn remove(cx: &Context, settings: &Settings, name: &str) -> Result<(), HostError> {
    match cx.file(FileOperation::Remove(path(settings, name))).await {
        Ok(_) | Err(HostError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Logs that the file of a key could not be used.
pub(crate) fn broken(cx: &Context, key: &Key, error: &HostError) {
    cx.warn("cache.file_broken", json!({ "key": key.id(), "error": error.to_string() }));
}

/// Reads what a file holds. A damaged file is removed, unless something was written meanwhile.
pub(crate) async fn read(cx: &Context, settings: &Settings, name: &str) -> Result<Bytes, Missing> {
    let before = written();
    let content = match cx.file(FileOperation::Read(path(settings, name))).await {
        Ok(content) => content,
        Err(HostError::NotFound) => return Err(Missing::Absent),
        Err(error) => return Err(Missing::Broken(error)),
    };
    if is_sound(&content) {
        return Ok(content.slice(CHECKSUM + 1..));
    }
    if written() == before {
        // Whatever comes of it: the file is not used.
        let _ = remove(cx, settings, name).await;
    }
    Err(Missing::Damaged)
}

fn is_sound(content: &[u8]) -> bool {
    content.get(CHECKSUM) == Some(&b'\n') && hash(&content[CHECKSUM + 1..]).as_bytes() == &content[..CHECKSUM]
}

/// Writes a file, its checksum first.
pub(crate) async fn write(
    cx: &Context,
    settings: &Settings,
    name: &str,
    parts: &[&[u8]],
) -> Result<(), HostError> {
    let mut content = vec![b'\n'; CHECKSUM + 1];
    for part in parts {
        content.extend_from_slice(part);
    }
    let checksum = hash(&content[CHECKSUM + 1..]);
    content[..CHECKSUM].copy_from_slice(checksum.as_bytes());
    let number = instance::with(|instance| {
        instance.written += 1;
        instance.written
    });
    let done = cx.file(FileOperation::Write(path(settings, name), content.into())).await;
    if done.is_err() && written() == number {
        // Half a file on a full disk takes the space that the next one needs.
        let _ = remove(cx, settings, name).await;
    }
    done.map(drop)
}

/// The number of writes that this instance has started.
fn written() -> u64 {
    instance::with(|instance| instance.written)
}

/// The keys that have a file of this suffix.
pub(crate) fn keys(names: &[String], suffix: &str) -> Vec<Key> {
    names
        .iter()
        .filter_map(|name| split(name))
        .filter(|(_, found)| *found == suffix)
        .map(|(key, _)| key)
        .collect()
}

fn split(name: &str) -> Option<(Key, &str)> {
    let (key, suffix) = name.rsplit_once('.')?;
    let (project, cache_type) = key.split_once('.')?;
    Some((Key::new(project, cache_type).ok()?, suffix))
}

/// The names of all files.
pub(crate) async fn list(cx: &Context, settings: &Settings) -> Result<Vec<String>, HostError> {
    match cx.file(FileOperation::List(settings.folder.clone())).await {
        Ok(names) => Ok(String::from_utf8_lossy(&names).lines().map(str::to_owned).collect()),
        Err(HostError::NotFound) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes what a worker that was killed left in a folder that outlived it: half-written files, and files
/// of names that are not ours.
pub(crate) async fn sweep(cx: &Context, settings: &Settings) {
    let mut removed = 0_u32;
    for name in list(cx, settings).await.unwrap_or_default() {
        let is_ours = [AUDIT, CALLERS, IDENTITY].contains(&name.as_str())
            || split(&name).is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix));
        let is_gone = if is_ours {
            matches!(read(cx, settings, &name).await, Err(Missing::Damaged))
        } else {
            remove(cx, settings, &name).await.is_ok()
        };
        removed += u32::from(is_gone);
    }
    if removed > 0 {
        cx.warn("cache.files_removed", json!({ "files": removed }));
    }
}

pub(crate) fn name(key: &Key, suffix: &str) -> String {
    [&key.id(), ".", suffix].concat()
}

fn path(settings: &Settings, name: &str) -> String {
    [&settings.folder, "/", name].concat()
}
