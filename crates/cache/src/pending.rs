//! Saves that the database has not taken yet: retried by backoff, by the next request and by cron,
//! in the order of their age, until they are in. The files are the list; this remembers their names.

use std::time::Duration;

use ironferry::{Context, Error, HostError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::{Entry, Key};
use crate::settings::Settings;
use crate::sources::Source;
use crate::{database, file, instance, memory, save};

#[derive(Default)]
pub(crate) struct Pending {
    keys: Vec<Key>,
    /// Saves whose first attempt is under way: theirs to finish, and nobody else's.
    saving: Vec<Key>,
    tokens: Vec<Key>,
    running: bool,
    next_at: f64,
}

/// Seconds until the next attempt: 8 in all, in 4 minutes. Then it is for requests and cron: a worker
/// does not live much longer.
const BACKOFF_SECONDS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// What a flush did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Flushed {
    /// Saves that the database has taken.
    pub saved: usize,
    /// Saves that wait on.
    pub left: usize,
}

/// Credentials that wait to be kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) sealed: String,
    pub(crate) got_ms: i64,
}

/// A save that is about to be tried for the first time.
pub(crate) fn begin(key: &Key) {
    instance::with(|instance| instance.pending.saving.push(key.clone()));
}

/// A save that is to be tried again.
pub(crate) fn add(key: &Key) {
    instance::with(|instance| {
        instance.pending.saving.retain(|known| known != key);
        if !instance.pending.keys.contains(key) {
            instance.pending.keys.push(key.clone());
        }
    });
}

pub(crate) fn is_pending(key: &Key) -> bool {
    instance::with(|instance| instance.pending.keys.contains(key) || instance.pending.saving.contains(key))
}

pub(crate) fn forget(key: &Key) {
    instance::with(|instance| {
        instance.pending.keys.retain(|known| known != key);
        instance.pending.saving.retain(|known| known != key);
    });
}

/// Keeps credentials now, or later when the database is away. They are the only ones that the source
/// still takes, so losing them is not an option: file, then database.
pub(crate) async fn keep_token(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    token: Token,
) -> Result<(), Error> {
    let content = serde_json::to_vec(&token).unwrap_or_default();
    let written = file::note(cx, settings, key, "token", content).await;
    match database::keep_credentials(cx, settings, key, &token.sealed, token.got_ms).await {
        Ok(()) => {
            let _ = file::remove(cx, settings, key, "token").await;
            Ok(())
        }
        Err(error) if database::is_away(&error) && written.is_ok() => {
            instance::with(|instance| {
                if !instance.pending.tokens.contains(key) {
                    instance.pending.tokens.push(key.clone());
                }
            });
            back_off(cx, settings);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A source with the credentials that the database has not taken yet: its own are used up.
pub(crate) async fn with_newest_token(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    mut source: Source,
) -> Source {
    if instance::with(|instance| instance.pending.tokens.contains(key))
        && let Ok(content) = file::read(cx, settings, key, "token").await
        && let Ok(token) = serde_json::from_slice::<Token>(&content)
    {
        source.credentials = Some(token.sealed);
    }
    source
}

/// Finds what an earlier instance left.
pub(crate) async fn recall(cx: &Context, settings: &Settings) -> Result<(), HostError> {
    let (keys, tokens) =
        (file::list(cx, settings, "pending").await?, file::list(cx, settings, "token").await?);
    keys.iter().for_each(add);
    instance::with(|instance| instance.pending.tokens.extend(tokens));
    Ok(())
}

/// The database has answered: the mark goes, and where it had newer data, so does ours.
pub(crate) async fn settle(cx: &Context, settings: &Settings, key: &Key, outcome: &str) {
    let settled = if matches!(outcome, "older" | "refused") {
        memory::evict(key);
        file::evict(cx, settings, key).await
    } else {
        file::remove(cx, settings, key, "pending").await
    };
    if let Err(error) = settled {
        cx.warn("cache.file_broken", json!({ "key": key.id(), "error": error.to_string() }));
    }
    forget(key);
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

/// Tries each pending save once, the oldest first; the first outage ends it.
pub(crate) async fn flush(cx: &Context, settings: &Settings) -> Flushed {
    let (mut keys, tokens) =
        instance::with(|instance| (instance.pending.keys.clone(), instance.pending.tokens.clone()));
    let mut flushed = Flushed { saved: 0, left: keys.len() + tokens.len() };
    for key in tokens {
        if !flush_token(cx, settings, &key).await {
            return flushed;
        }
        flushed.saved += 1;
        flushed.left -= 1;
    }
    let mut entries: Vec<(Key, Entry)> = Vec::new();
    for key in keys.drain(..) {
        if let Some(entry) = here(cx, settings, &key).await {
            entries.push((key, entry));
        } else {
            cx.warn("cache.pending_lost", json!({ "key": key.id() }));
            forget(&key);
            flushed.left -= 1;
        }
    }
    entries.sort_by(|(_, one), (_, other)| one.fetched_at.total_cmp(&other.fetched_at));
    for (key, entry) in entries {
        let draft = save::marked(cx, settings, &key).await;
        match database::put(cx, settings, &key, &entry, &draft).await {
            Ok(kept) => settle(cx, settings, &key, &kept.outcome).await,
            Err(error) if database::is_away(&error) => return flushed,
            Err(error) => {
                cx.warn("cache.pending_refused", json!({ "key": key.id(), "error": error.chain() }));
                settle(cx, settings, &key, "refused").await;
            }
        }
        flushed.saved += 1;
        flushed.left -= 1;
    }
    flushed
}

/// False when the database is away.
async fn flush_token(cx: &Context, settings: &Settings, key: &Key) -> bool {
    let token = file::read(cx, settings, key, "token").await.ok();
    let token: Option<Token> = token.and_then(|content| serde_json::from_slice(&content).ok());
    if let Some(token) = token {
        match database::keep_credentials(cx, settings, key, &token.sealed, token.got_ms).await {
            Err(error) if database::is_away(&error) => return false,
            Err(error) => {
                cx.warn("cache.token_refused", json!({ "key": key.id(), "error": error.chain() }));
            }
            Ok(()) => {}
        }
        let _ = file::remove(cx, settings, key, "token").await;
    }
    instance::with(|instance| instance.pending.tokens.retain(|known| known != key));
    true
}

/// The file has it, or where the disk is broken, memory.
async fn here(cx: &Context, settings: &Settings, key: &Key) -> Option<Entry> {
    match file::get(cx, settings, key).await {
        file::Read::Sound(entry, _) => Some(entry),
        _ => memory::peek(key),
    }
}
