//! Credentials that a source has just given, and that the database is to keep. They are the only ones that
//! the source still takes, so losing them is not an option: file, then database.

use ironferry::{Context, Error};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::Key;
use crate::settings::Settings;
use crate::sources::Source;
use crate::{database, file, instance, news, pending};

/// Credentials that wait to be kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) sealed: String,
    pub(crate) got_ms: i64,
}

/// Keeps credentials now, or later when the database is away.
pub(crate) async fn keep(cx: &Context, settings: &Settings, key: &Key, token: Token) -> Result<(), Error> {
    let content = ironferry::to_json(&token).unwrap_or_default().into();
    let written = file::note(cx, settings, key, "token", content).await;
    match database::keep_credentials(cx, settings, key, &token.sealed, token.got_ms).await {
        Ok(is_kept) => {
            end(cx, settings, key, &token, is_kept).await;
            Ok(())
        }
        Err(error) if !database::is_final(&error) && written.is_ok() => {
            instance::with(|instance| {
                if !instance.pending.tokens.contains(key) {
                    instance.pending.tokens.push(key.clone());
                }
            });
            pending::back_off(cx, settings);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The database has answered, which says nothing of credentials that came meanwhile. Those that it did not
/// keep stay in a file that nothing reads: should the source take no others, an operator has them.
async fn end(cx: &Context, settings: &Settings, key: &Key, token: &Token, is_kept: bool) {
    if waiting(cx, settings, key).await.is_some_and(|waiting| waiting.sealed != token.sealed) {
        return;
    }
    let ended = if is_kept {
        file::remove(cx, settings, key, "token").await
    } else {
        cx.warn("cache.token_not_kept", json!({ "key": key.id() }));
        file::rename(cx, settings, key, "token", "spare").await
    };
    if let Err(error) = ended {
        file::broken(cx, key, &error);
    }
    forget(key);
}

fn forget(key: &Key) {
    instance::with(|instance| instance.pending.tokens.retain(|known| known != key));
}

async fn waiting(cx: &Context, settings: &Settings, key: &Key) -> Option<Token> {
    ironferry::from_json(&file::read(cx, settings, key, "token").await.ok()?).ok()
}

/// A source with the credentials that the database has not taken yet: its own are used up.
pub(crate) async fn newest(cx: &Context, settings: &Settings, key: &Key, mut source: Source) -> Source {
    if instance::with(|instance| instance.pending.tokens.contains(key))
        && let Some(token) = waiting(cx, settings, key).await
    {
        source.credentials = Some(token.sealed);
    }
    source
}

/// Tries those of a source that wait. False when the database is away.
pub(crate) async fn flush(cx: &Context, settings: &Settings, key: &Key) -> bool {
    let Some(token) = waiting(cx, settings, key).await else {
        forget(key);
        return true;
    };
    let is_kept = match database::keep_credentials(cx, settings, key, &token.sealed, token.got_ms).await {
        Err(error) if !database::is_final(&error) => {
            news::failed(&error);
            return false;
        }
        Err(error) => {
            cx.warn("cache.token_refused", json!({ "key": key.id(), "error": error.chain() }));
            news::refused(&error);
            false
        }
        Ok(is_kept) => is_kept,
    };
    end(cx, settings, key, &token, is_kept).await;
    true
}
