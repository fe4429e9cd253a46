//! Saves that the database has not taken yet. Memory holds them, and as long as one waits, a background task
//! of this instance retries it, which keeps the worker alive (`EdgeRuntime.waitUntil`). Requests and cron
//! retry too. A file of each is a bonus: an instance that replaces a crashed one finds it.

use std::time::Duration;

use ironferry::{Context, HostError, Level};
use serde::Serialize;
use serde_json::json;

use crate::entry::{Entry, Key, elapsed_at};
use crate::news::News;
use crate::save::Mark;
use crate::settings::Settings;
use crate::tokens::Token;
use crate::{database, file, instance, memory, news, save, tokens};

#[derive(Default)]
pub(crate) struct Pending {
    saves: Vec<Waiting>,
    /// Saves whose first attempt is under way, which alone decides about them.
    saving: Vec<(Key, Entry)>,
    /// What was saved or deleted lately, and when.
    changed: Vec<(Key, f64)>,
    /// Credentials that wait, see `tokens`.
    pub(crate) tokens: Vec<(Key, Token)>,
    running: bool,
    next_at: f64,
    pub(crate) news: News,
}

/// A save that waits.
#[derive(Clone)]
struct Waiting {
    key: Key,
    entry: Entry,
    mark: Mark,
    /// On the monotonic clock, milliseconds.
    since: f64,
    failures: u32,
}

/// The first wait before a retry; each one doubles it up to the longest. A worker lives for 400 s at most.
const FIRST_RETRY_SECONDS: u64 = 1;
const LONGEST_RETRY_SECONDS: u64 = 30;

/// Bytes that saves may hold while they wait. The platform drops an idle worker above 128 MB.
const MOST_BYTES: usize = 48_000_000;

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
pub(crate) fn begin(key: &Key, entry: &Entry) {
    instance::with(|instance| instance.pending.saving.push((key.clone(), entry.clone())));
}

/// Its first attempt has ended, whatever the outcome.
pub(crate) fn end(key: &Key, entry: &Entry, now: f64) {
    instance::with(|instance| {
        let saving = &mut instance.pending.saving;
        if let Some(at) = saving.iter().position(|(known, other)| known == key && other.etag == entry.etag) {
            saving.remove(at);
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
        saving.iter().any(|(known, _)| known == key)
            || changed.iter().any(|(known, at)| known == key && *at >= since)
    })
}

/// Whether what the database said of the data, asked then, is to be kept: what waits for it or was changed
/// since is newer.
pub(crate) fn is_current(key: &Key, asked_at: f64) -> bool {
    !is_pending(key) && !is_changed(key, asked_at)
}

/// Adds a save that is to be retried, in place of an older one of the same data. False when too many bytes
/// wait already: such a save must not be accepted.
pub(crate) fn add(key: &Key, entry: &Entry, mark: &Mark, since: f64) -> bool {
    instance::with(|instance| {
        let saves = &mut instance.pending.saves;
        let others: usize =
            saves.iter().filter(|waiting| waiting.key != *key).map(|waiting| waiting.entry.body.len()).sum();
        if others + entry.body.len() > MOST_BYTES {
            return false;
        }
        let (entry, mark) = (entry.clone(), mark.clone());
        match saves.iter_mut().find(|waiting| waiting.key == *key) {
            Some(waiting) => (waiting.entry, waiting.mark) = (entry, mark),
            None => saves.push(Waiting { key: key.clone(), entry, mark, since, failures: 0 }),
        }
        true
    })
}

fn waiting(key: &Key) -> Option<Waiting> {
    instance::with(|instance| instance.pending.saves.iter().find(|waiting| waiting.key == *key).cloned())
}

pub(crate) fn is_pending(key: &Key) -> bool {
    instance::with(|instance| {
        let Pending { saves, saving, .. } = &instance.pending;
        saves.iter().any(|waiting| waiting.key == *key) || saving.iter().any(|(known, _)| known == key)
    })
}

pub(crate) fn forget(key: &Key, now: f64) {
    instance::with(|instance| instance.pending.saves.retain(|waiting| waiting.key != *key));
    change(key, now);
}

/// Finds what an earlier instance of this worker left.
pub(crate) async fn recall(cx: &Context, settings: &Settings) -> Result<(), HostError> {
    let names = file::list(cx, settings).await?;
    let (saves, tokens) = (file::keys(&names, "pending"), file::keys(&names, "token"));
    for key in &saves {
        let mark = save::read_mark(cx, settings, key).await;
        let since = mark.since_ms.map_or(cx.elapsed_ms(), |since| elapsed_at(cx, since));
        match local_copy(cx, settings, key).await {
            Some(entry) if add(key, &entry, &mark, since) => {}
            _ => {
                cx.log(Level::Error, "cache.pending_lost", json!({ "key": key.id() }));
                if let Err(error) = file::remove(cx, settings, &file::name(key, "pending")).await {
                    file::broken(cx, key, &error);
                }
            }
        }
    }
    for key in &tokens {
        if let Some(token) = tokens::read(cx, settings, key).await {
            tokens::hold(key, token);
        }
    }
    instance::with(|instance| {
        // The instance that left them may have told the database.
        instance.pending.news.told = !(saves.is_empty() && tokens.is_empty());
    });
    Ok(())
}

/// Ends the wait of a save that the database has taken. `older`: the database had newer data, and the local
/// copies go. A save that was made meanwhile has an attempt and a mark of its own.
pub(crate) async fn settle(cx: &Context, settings: &Settings, key: &Key, entry: &Entry, outcome: &str) {
    if !is_newest(cx, settings, key, entry).await {
        change(key, cx.elapsed_ms());
        return;
    }
    forget(key, cx.elapsed_ms());
    let settled = if outcome == "older" {
        memory::evict(key);
        file::evict(cx, settings, key).await
    } else {
        file::remove(cx, settings, &file::name(key, "pending")).await
    };
    if let Err(error) = settled {
        file::broken(cx, key, &error);
    }
}

/// Takes back a save that was not accepted. The save before it that still waits is the newest again.
pub(crate) async fn take_back(cx: &Context, settings: &Settings, key: &Key, entry: &Entry) {
    change(key, cx.elapsed_ms());
    if !is_newest(cx, settings, key, entry).await {
        return;
    }
    let restored = match waiting(key) {
        Some(before) if before.entry.etag != entry.etag => {
            memory::put(cx, settings, key, &before.entry, settings.memory_ttl_ms);
            save::to_file(cx, settings, key, &before.entry, &before.mark).await
        }
        _ => {
            forget(key, cx.elapsed_ms());
            memory::evict(key);
            file::evict(cx, settings, key).await
        }
    };
    if let Err(error) = restored {
        file::broken(cx, key, &error);
    }
}

async fn is_newest(cx: &Context, settings: &Settings, key: &Key, entry: &Entry) -> bool {
    let copy = local_copy(cx, settings, key).await;
    copy.is_none_or(|copy| copy.etag == entry.etag && !copy.is_later_than(entry))
}

/// Retries after a request, at most once a second.
pub(crate) fn nudge(cx: &Context, settings: &Settings) {
    back_off(cx, settings);
    let now = cx.elapsed_ms();
    let due = instance::with(|instance| {
        let pending = &mut instance.pending;
        let due = pending.has_work(settings) && now >= pending.next_at;
        if due {
            pending.next_at = now + 1_000.0;
        }
        due
    });
    if due {
        let (cx, settings) = (cx.clone(), settings.clone());
        cx.clone().wait_until(async move {
            retry(&cx, &settings).await;
        });
    }
}

impl Pending {
    /// Whether something waits that keeps the worker alive. Credentials always do: they cannot be fetched
    /// again.
    fn has_work(&self, settings: &Settings) -> bool {
        let saves_count = settings.retry || settings.graceful;
        settings.database && (!self.tokens.is_empty() || (saves_count && !self.saves.is_empty()))
    }
}

/// Retries in the background until nothing waits. A worker with such a task lives until its wall clock ends.
pub(crate) fn back_off(cx: &Context, settings: &Settings) {
    let begins = instance::with(|instance| {
        let pending = &mut instance.pending;
        let begins = pending.has_work(settings) && !pending.running;
        pending.running |= begins;
        begins
    });
    if !begins {
        return;
    }
    let (cx, settings) = (cx.clone(), settings.clone());
    cx.clone().wait_until(async move {
        let mut seconds = FIRST_RETRY_SECONDS;
        while instance::with(|instance| {
            let pending = &mut instance.pending;
            pending.running = pending.has_work(&settings);
            pending.running
        }) {
            // Half of it is chance: instances that lost the database together do not return together.
            let share = u32::from_le_bytes(cx.random()) % 1_000;
            cx.sleep(Duration::from_millis(seconds * 1_000 - seconds * u64::from(share) / 2)).await;
            retry(&cx, &settings).await;
            seconds = (seconds * 2).min(LONGEST_RETRY_SECONDS);
        }
    });
}

/// Retries what may be retried without a request: with `BACKGROUND_RETRY=false` credentials only.
async fn retry(cx: &Context, settings: &Settings) {
    if settings.retry {
        flush(cx, settings).await;
    } else if !database::rests(cx) {
        tokens::flush(cx, settings).await;
        news::tell(cx, settings).await;
    }
}

/// Tries each pending save once, and tells the database what is left.
pub(crate) async fn flush(cx: &Context, settings: &Settings) -> Flushed {
    let saved = attempt(cx, settings).await;
    let (left, _) = instance::with(|instance| backlog(&instance.pending));
    news::tell(cx, settings).await;
    Flushed { saved, left }
}

/// How many saves and credentials wait, and since when the oldest save does.
pub(crate) fn backlog(pending: &Pending) -> (usize, Option<f64>) {
    let oldest = pending.saves.iter().map(|waiting| waiting.since).min_by(f64::total_cmp);
    (pending.saves.len() + pending.tokens.len(), oldest)
}

/// Tries credentials first, then saves: those that have failed least, and of those the oldest. A save that
/// does not get through must not hold up the others. Ends at the first outage. Returns how many are in.
async fn attempt(cx: &Context, settings: &Settings) -> usize {
    if database::rests(cx) {
        return 0;
    }
    let Some(mut saved) = tokens::flush(cx, settings).await else {
        return 0;
    };
    let mut waiting = instance::with(|instance| instance.pending.saves.clone());
    waiting.sort_by(|one, other| {
        let by_age = one.entry.fetched_at.total_cmp(&other.entry.fetched_at);
        one.failures.cmp(&other.failures).then(by_age)
    });
    for Waiting { key, entry, mark, .. } in waiting {
        match database::put(cx, settings, &key, &entry, &mark.draft()).await {
            Ok(kept) => settle(cx, settings, &key, &entry, &kept.outcome).await,
            Err(error) if !database::is_final(&error) => {
                news::failed(&error);
                fail(&key);
                return saved;
            }
            Err(error) => {
                cx.warn("cache.pending_refused", json!({ "key": key.id(), "error": error.chain() }));
                news::refused(&error);
                take_back(cx, settings, &key, &entry).await;
            }
        }
        saved += 1;
    }
    saved
}

fn fail(key: &Key) {
    instance::with(|instance| {
        for waiting in instance.pending.saves.iter_mut().filter(|waiting| waiting.key == *key) {
            waiting.failures += 1;
        }
    });
}

/// The newest copy that this instance holds: in the memory layer, under way to the database, or waiting.
pub(crate) fn held(key: &Key) -> Option<Entry> {
    memory::peek(key)
        .or_else(|| {
            instance::with(|instance| {
                let saving = instance.pending.saving.iter().rev().find(|(known, _)| known == key);
                saving.map(|(_, entry)| entry.clone())
            })
        })
        .or_else(|| waiting(key).map(|waiting| waiting.entry))
}

/// The newest copy that this instance holds or has in a file.
pub(crate) async fn local_copy(cx: &Context, settings: &Settings, key: &Key) -> Option<Entry> {
    match held(key) {
        Some(entry) => Some(entry),
        None => match file::get(cx, settings, key).await {
            file::Read::Sound(entry, _) => Some(entry),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_that_would_fill_the_worker_s_memory_are_not_accepted() {
        instance::forget();
        let add = |name: &str, size: usize| {
            let entry = Entry {
                body: vec![b' '; size].into(),
                etag: String::new(),
                fetched_at: 0.0,
                rich_at: None,
                fresh_seconds: None,
                doubtful: false,
            };
            add(&Key::new("tracker", name).expect("a key"), &entry, &Mark::default(), 0.0)
        };
        let large = MOST_BYTES / 2;
        assert!(add("one", large) && add("two", large), "as many bytes as may wait");
        assert!(!add("three", 1), "one too many");
        assert!(add("two", large - 1) && add("three", 1), "a newer save takes the place of the one before");
        instance::forget();
    }
}
