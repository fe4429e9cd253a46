//! Credentials that a source has just issued and that the database is to keep. The source takes no others
//! any more. Memory holds them, and the background task of `pending` retries until the database has them.

use ironferry::{Context, Error, Level};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::Key;
use crate::settings::Settings;
use crate::{database, file, instance, news, pending};

/// Credentials that wait for the database.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) sealed: String,
    pub(crate) got_ms: i64,
}

/// Keeps credentials in the database: now, or in the background when it is away.
pub(crate) async fn keep(cx: &Context, settings: &Settings, key: &Key, token: Token) -> Result<(), Error> {
    hold(key, token.clone());
    let content = ironferry::to_json(&token).unwrap_or_default();
    // Only for an instance that replaces this one in the same worker.
    if let Err(error) = file::write(cx, settings, &file::name(key, "token"), &[content.as_bytes()]).await {
        file::broken(cx, key, &error);
    }
    match send(cx, settings, key, &token).await {
        Err(error) if database::is_final(&error) => Err(error),
        Err(_) => {
            pending::back_off(cx, settings);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Holds credentials in memory, in place of older ones of the same source.
pub(crate) fn hold(key: &Key, token: Token) {
    instance::with(|instance| {
        let tokens = &mut instance.pending.tokens;
        tokens.retain(|(known, _)| known != key);
        tokens.push((key.clone(), token));
    });
}

/// Returns the sealed credentials of a source that wait for the database.
pub(crate) fn held(key: &Key) -> Option<String> {
    instance::with(|instance| {
        instance.pending.tokens.iter().find(|(known, _)| known == key).map(|(_, token)| token.sealed.clone())
    })
}

/// Reads what an earlier instance left.
pub(crate) async fn read(cx: &Context, settings: &Settings, key: &Key) -> Option<Token> {
    let content = file::read(cx, settings, &file::name(key, "token")).await.ok()?;
    ironferry::from_json(&content).ok()
}

/// Tries all that wait. Returns how many are done, or `None` when the database is away.
pub(crate) async fn flush(cx: &Context, settings: &Settings) -> Option<usize> {
    let tokens = instance::with(|instance| instance.pending.tokens.clone());
    let count = tokens.len();
    for (key, token) in tokens {
        match send(cx, settings, &key, &token).await {
            Err(error) if !database::is_final(&error) => return None,
            // A verdict has been reported.
            _ => {}
        }
    }
    Some(count)
}

/// Sends credentials to the database, and ends their wait when it has answered.
async fn send(cx: &Context, settings: &Settings, key: &Key, token: &Token) -> Result<(), Error> {
    let outcome = database::keep_credentials(cx, settings, key, &token.sealed, token.got_ms).await;
    match outcome {
        Ok(is_kept) => {
            if !is_kept {
                // The database has newer credentials, or the source is gone.
                cx.warn("cache.token_not_kept", json!({ "key": key.id() }));
            }
            end(cx, settings, key, token).await;
            Ok(())
        }
        Err(error) => {
            if database::is_final(&error) {
                cx.log(
                    Level::Error,
                    "cache.token_refused",
                    json!({ "key": key.id(), "error": error.chain() }),
                );
                news::refused(&error);
                lost(cx, settings, key, &error, None).await;
                end(cx, settings, key, token).await;
            } else {
                news::failed(&error);
            }
            Err(error)
        }
    }
}

/// Tells the database that the newest credentials of a source are lost. `refused`: those that the source does
/// not take, unless they are not in the database at all.
pub(crate) async fn lost(cx: &Context, settings: &Settings, key: &Key, error: &Error, refused: Option<&str>) {
    cx.log(Level::Error, "cache.needs_login", json!({ "key": key.id(), "error": error.chain() }));
    if let Err(unsaid) = database::mark_needs_login(cx, settings, key, error, refused).await {
        // The next renewal is refused too, and says it again.
        cx.warn("cache.needs_login_unsaid", json!({ "key": key.id(), "error": unsaid.chain() }));
    }
}

/// Ends the wait of these credentials, unless newer ones came meanwhile.
async fn end(cx: &Context, settings: &Settings, key: &Key, token: &Token) {
    if held(key).is_none_or(|held| held != token.sealed) {
        return;
    }
    instance::with(|instance| instance.pending.tokens.retain(|(known, _)| known != key));
    if let Err(error) = file::remove(cx, settings, &file::name(key, "token")).await {
        file::broken(cx, key, &error);
    }
}
