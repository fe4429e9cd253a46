//! What waits here for the database, told to the database: `health` knows of it by that. It can be told
//! as soon as anything gets through, though the saves themselves may not.

use ironferry::{Context, Error};

use crate::rows::cache_pending_report;
use crate::settings::Settings;
use crate::{database, file, instance, pending};

/// What the database has been told, and what not yet.
#[derive(Default)]
pub(crate) struct News {
    /// Whether it believes that something waits here.
    pub(crate) told: bool,
    /// Saves that it refused for good, and has not been told of.
    refused: usize,
    /// What it last said of one.
    error: Option<String>,
    instance_id: String,
}

/// A save did not get through.
pub(crate) fn failed(error: &Error) {
    let said = error.chain();
    instance::with(|instance| instance.pending.news.error = Some(said));
}

/// A save was refused: its data is lost.
pub(crate) fn refused(error: &Error) {
    failed(error);
    instance::with(|instance| instance.pending.news.refused += 1);
}

/// Tells, where there is something to tell. What cannot be told now is told after the next attempt.
pub(crate) async fn tell(cx: &Context, settings: &Settings) {
    if !settings.database {
        return;
    }
    let (count, oldest, refused, error) = instance::with(|instance| {
        let (count, oldest) = pending::backlog(&instance.pending);
        let news = &instance.pending.news;
        let is_news = count > 0 || news.told || news.refused > 0;
        (is_news.then_some(count), oldest, news.refused, news.error.clone())
    });
    let Some(count) = count else { return };
    let instance_id = identity(cx, settings).await;
    #[allow(clippy::cast_possible_truncation)] // seconds of a few days at the most
    let seconds = oldest.map_or(0, |since| ((cx.elapsed_ms() - since) / 1_000.0) as i32);
    let arguments = cache_pending_report::Args {
        p_instance_id: &instance_id,
        p_pending: database::integer(count),
        p_oldest_seconds: Some(seconds.max(0)),
        p_refused: Some(database::integer(refused)),
        p_error: error.as_deref(),
    };
    if database::say(cx, settings, cache_pending_report::NAME, ironferry::Raw::of(&arguments)).await.is_ok() {
        instance::with(|instance| {
            let news = &mut instance.pending.news;
            news.told = count > 0;
            news.refused -= refused.min(news.refused);
            if count == 0 {
                news.error = None;
            }
        });
    }
}

/// Whose files these are: an instance that finds them after a restart goes on in the same name.
async fn identity(cx: &Context, settings: &Settings) -> String {
    let known = instance::with(|instance| instance.pending.news.instance_id.clone());
    if !known.is_empty() {
        return known;
    }
    let kept = file::read(cx, settings, file::IDENTITY).await.ok();
    let kept = kept.and_then(|id| String::from_utf8(id.to_vec()).ok()).filter(|id| id.len() == 36);
    let id = kept.clone().unwrap_or_else(|| cx.uuid());
    if kept.is_none() {
        // Without a disk there are no files to find either.
        let _ = file::write(cx, settings, file::IDENTITY, &[id.as_bytes()]).await;
    }
    instance::with(|instance| instance.pending.news.instance_id.clone_from(&id));
    id
}
