//! The first request of an instance: it finds what an earlier one of its worker left, the database fills
//! the files, and what has expired is refreshed at once.

use std::time::Duration;

use futures_util::future::join3;
use ironferry::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::entry::Key;
use crate::rows::cache_warm;
use crate::settings::Settings;
use crate::{audit, database, file, gate, instance, pending, read, refresh};

/// Entries that are filled at the start.
const ENTRIES: i32 = 50;
/// Sources that are refreshed at the start and at each tick.
pub(crate) const SOURCES: i32 = 20;

#[derive(Deserialize)]
struct Kept {
    project: String,
    #[serde(rename = "type")]
    cache_type: String,
    etag: String,
}

/// What must be known before the first request is answered. True for that one, which [`go_on`] follows.
pub(crate) async fn begin(cx: &Context, settings: &Settings) -> bool {
    if instance::with(|instance| std::mem::replace(&mut instance.started, true)) {
        return false;
    }
    let (recalled, (), ()) =
        join3(pending::recall(cx, settings), gate::recall(cx, settings), audit::recall(cx, settings)).await;
    if let Err(error) = recalled {
        cx.warn("cache.file_broken", json!({ "error": error.to_string() }));
    }
    true
}

/// The rest, behind the first reply.
pub(crate) fn go_on(cx: &Context, settings: &Settings) {
    let (cx, settings) = (cx.clone(), settings.clone());
    cx.clone().wait_until(async move {
        // Until the reply is out.
        cx.sleep(Duration::ZERO).await;
        file::sweep(&cx, &settings).await;
        if settings.database {
            match fill(&cx, &settings).await {
                Ok(filled) => cx.info("cache.started", json!({ "filled": filled })),
                Err(error) => cx.warn("cache.started", json!({ "error": error.chain() })),
            }
        }
    });
}

async fn fill(cx: &Context, settings: &Settings) -> Result<usize> {
    pending::flush(cx, settings).await;
    let reply =
        database::call(cx, settings, cache_warm::NAME, &cache_warm::Args { p_limit: Some(ENTRIES) }).await?;
    let mut filled = 0;
    for kept in database::read::<Vec<Kept>>(&reply)? {
        let Ok(key) = Key::new(&kept.project, &kept.cache_type) else {
            // A project whose name is not for URLs is of no use to the cache.
            continue;
        };
        if pending::is_pending(&key) {
            continue;
        }
        if let file::Read::Sound(entry, true) = file::get(cx, settings, &key).await
            && entry.etag == kept.etag
        {
            continue;
        }
        let asked_at = cx.elapsed_ms();
        let loaded = database::get(cx, settings, &key).await?;
        if let Some(entry) = loaded.entry
            && read::fill(cx, settings, &key, &entry, asked_at).await
        {
            filled += 1;
        }
        if let Some(source) = &loaded.source {
            refresh::remember(cx, settings, &key, source).await;
        }
    }
    refresh::due(cx, settings, SOURCES).await?;
    Ok(filled)
}
