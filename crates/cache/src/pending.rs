//! Saves that the database has not taken yet: retried by backoff, by the next request and by cron,
//! in the order of their age, until they are in. The files are the list; this remembers their names.

use std::time::Duration;

use ironferry::{Context, HostError};
use serde::Serialize;
use serde_json::json;

use crate::entry::{Entry, Key, elapsed_at};
use crate::news::News;
use crate::settings::Settings;
use crate::{database, file, instance, memory, news, save, tokens};

#[derive(Default)]
pub(crate) struct Pending {
    keys: Vec<Waiting>,
    /// Saves whose first attempt is under way: theirs to finish, and nobody else's.
    saving: Vec<Key>,
    /// What was saved or deleted lately, and when.
    changed: Vec<(Key, f64)>,
    /// Credentials that wait, see `tokens`.
    pub(crate) tokens: Vec<Key>,
    running: bool,
    next_at: f64,
    pub(crate) news: News,
}

/// A save that waits.
#[derive(Clone)]
struct Waiting {
    key: Key,
    /// By the clock that nobody sets, milliseconds.
    since: f64,
    failures: u32,
}

/// Seconds until the next attempt: 8 in all, in 4 minutes. Then it is for requests and cron: a worker
/// does not live much longer.
const BACKOFF_SECONDS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// No question to the database is under way for longer.
const CHANGED_MS: f64 = 60_000.0;

/// What a flush did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Flushed {
    /// Saves that the database has taken.
    pub saved: usize,
    /// Saves that wait on.
    pub left: usize,
}

/// A save that is about to be tried for the first time.
pub(crate) fn begin(key: &Key) {
    instance::with(|instance| instance.pending.saving.push(key.clone()));
}

/// Its first attempt has ended, however.
pub(crate) fn end(key: &Key, now: f64) {
    instance::with(|instance| {
        let saving = &mut instance.pending.saving;
        if let Some(at) = saving.iter().position(|known| known == key) {
            saving.swap_remove(at);
        }
    });
    change(key, now);
}

/// The data was saved or deleted: what the database says to earlier questions is old.
fn change(key: &Key, now: f64) {
    instance::with(|instance| {
        let changed = &mut instance.pending.changed;
        changed.retain(|(known, at)| known != key && now - at < CHANGED_MS);
        changed.push((key.clone(), now));
    });
}

/// Whether the data was saved or deleted here since then, or is being saved.
pub(crate) fn is_changed(key: &Key, since: f64) -> bool {
    instance::with(|instance| {
        let Pending { saving, changed, .. } = &instance.pending;
        saving.contains(key) || changed.iter().any(|(known, at)| known == key && *at >= since)
    })
}

/// Whether what the database said of the data, asked then, is to be kept: what waits for it or was changed
/// since is newer.
pub(crate) fn is_current(key: &Key, asked_at: f64) -> bool {
    !is_pending(key) && !is_changed(key, asked_at)
}

/// A save that is to be tried again.
pub(crate) fn add(key: &Key, since: f64) {
    instance::with(|instance| {
        if !is_waiting(&instance.pending, key) {
            instance.pending.keys.push(Waiting { key: key.clone(), since, failures: 0 });
        }
    });
}

fn is_waiting(pending: &Pending, key: &Key) -> bool {
    pending.keys.iter().any(|known| known.key == *key)
}

pub(crate) fn is_pending(key: &Key) -> bool {
    instance::with(|instance| is_waiting(&instance.pending, key) || instance.pending.saving.contains(key))
}

pub(crate) fn forget(key: &Key, now: f64) {
    instance::with(|instance| instance.pending.keys.retain(|known| known.key != *key));
    change(key, now);
}

/// Finds what an earlier instance left.
pub(crate) async fn recall(cx: &Context, settings: &Settings) -> Result<(), HostError> {
    let (keys, tokens) =
        (file::list(cx, settings, "pending").await?, file::list(cx, settings, "token").await?);
    for key in &keys {
        let since = save::mark(cx, settings, key).await.since_ms;
        add(key, since.map_or(cx.elapsed_ms(), |since| elapsed_at(cx, since)));
    }
    instance::with(|instance| {
        // The instance that left them may have told the database.
        instance.pending.news.told = !(keys.is_empty() && tokens.is_empty());
        instance.pending.tokens.extend(tokens);
    });
    Ok(())
}

/// The database has answered for this version: the mark goes, and where it had newer data, so does ours.
/// What was saved meanwhile has an attempt and a mark of its own.
pub(crate) async fn settle(cx: &Context, settings: &Settings, key: &Key, entry: &Entry, outcome: &str) {
    let is_newest = |here: Entry| here.etag == entry.etag && !here.is_later_than(entry);
    if !here(cx, settings, key).await.is_none_or(is_newest) {
        change(key, cx.elapsed_ms());
        return;
    }
    forget(key, cx.elapsed_ms());
    let settled = if matches!(outcome, "older" | "refused") {
        memory::evict(key);
        file::evict(cx, settings, key).await
    } else {
        file::remove(cx, settings, key, "pending").await
    };
    if let Err(error) = settled {
        file::broken(cx, key, &error);
    }
}

/// Any request may bring the database back into mind.
pub(crate) fn nudge(cx: &Context, settings: &Settings) {
    let now = cx.elapsed_ms();
    let due = instance::with(|instance| {
        let pending = &mut instance.pending;
        let due = !(pending.keys.is_empty() && pending.tokens.is_empty()) && now >= pending.next_at;
        if due {
            pending.next_at = now + 1_000.0;
        }
        due
    });
    if due && settings.retry && settings.database {
        let (cx, settings) = (cx.clone(), settings.clone());
        cx.clone().wait_until(async move {
            flush(&cx, &settings).await;
        });
    }
}

/// Tries again and again, in the background.
pub(crate) fn back_off(cx: &Context, settings: &Settings) {
    let begins = instance::with(|instance| !std::mem::replace(&mut instance.pending.running, true));
    if !begins {
        return;
    }
    if !settings.retry || !settings.database {
        instance::with(|instance| instance.pending.running = false);
        return;
    }
    let (cx, settings) = (cx.clone(), settings.clone());
    cx.clone().wait_until(async move {
        for seconds in BACKOFF_SECONDS {
            // Half of it is chance: instances that lost the database together do not return together.
            let share = u32::from_le_bytes(cx.random()) % 1_000;
            cx.sleep(Duration::from_millis(seconds * 1_000 - seconds * u64::from(share) / 2)).await;
            if flush(&cx, &settings).await.left == 0 {
                break;
            }
        }
        instance::with(|instance| instance.pending.running = false);
    });
}

/// Tries each pending save once, and tells the database what is left.
pub(crate) async fn flush(cx: &Context, settings: &Settings) -> Flushed {
    let saved = attempt(cx, settings).await;
    let (left, _) = instance::with(|instance| standing(&instance.pending));
    news::tell(cx, settings).await;
    Flushed { saved, left }
}

/// How many saves and credentials wait, and since when the oldest save does.
pub(crate) fn standing(pending: &Pending) -> (usize, Option<f64>) {
    let oldest = pending.keys.iter().map(|waiting| waiting.since).min_by(f64::total_cmp);
    (pending.keys.len() + pending.tokens.len(), oldest)
}

/// The oldest first, but first of all those that have failed least: one that does not get through shall
/// not keep the others. The first outage ends it. Gives the number of those that are in.
async fn attempt(cx: &Context, settings: &Settings) -> usize {
    let (waiting, tokens) =
        instance::with(|instance| (instance.pending.keys.clone(), instance.pending.tokens.clone()));
    let mut saved = 0;
    if database::rests(cx) {
        return saved;
    }
    for key in tokens {
        if !tokens::flush(cx, settings, &key).await {
            return saved;
        }
        saved += 1;
    }
    let mut entries: Vec<(Waiting, Entry)> = Vec::new();
    for waiting in waiting {
        if let Some(entry) = here(cx, settings, &waiting.key).await {
            entries.push((waiting, entry));
        } else {
            cx.warn("cache.pending_lost", json!({ "key": waiting.key.id() }));
            forget(&waiting.key, cx.elapsed_ms());
        }
    }
    entries.sort_by(|(one, entry), (other, another)| {
        one.failures.cmp(&other.failures).then(entry.fetched_at.total_cmp(&another.fetched_at))
    });
    for (Waiting { key, .. }, entry) in entries {
        let draft = save::marked(cx, settings, &key).await;
        match database::put(cx, settings, &key, &entry, &draft).await {
            Ok(kept) => settle(cx, settings, &key, &entry, &kept.outcome).await,
            Err(error) if !database::is_final(&error) => {
                news::failed(&error);
                fail(&key);
                return saved;
            }
            Err(error) => {
                cx.warn("cache.pending_refused", json!({ "key": key.id(), "error": error.chain() }));
                news::refused(&error);
                settle(cx, settings, &key, &entry, "refused").await;
            }
        }
        saved += 1;
    }
    saved
}

fn fail(key: &Key) {
    instance::with(|instance| {
        for waiting in instance.pending.keys.iter_mut().filter(|waiting| waiting.key == *key) {
            waiting.failures += 1;
        }
    });
}

/// The newest that this instance has: memory's, for the disk may be broken, or the file's.
pub(crate) async fn here(cx: &Context, settings: &Settings, key: &Key) -> Option<Entry> {
    match memory::peek(key) {
        Some(entry) => Some(entry),
        None => match file::get(cx, settings, key).await {
            file::Read::Sound(entry, _) => Some(entry),
            _ => None,
        },
    }
}
