//! Counts of both sides, and whether they differ.

use ironferry::{Context, Response, Result};
use serde_json::json;

use crate::scan::{Entry, Held, Scan};
use crate::types::StatusReply;
use crate::vault::Vault;
use crate::{account, database, value};

/// Redis that cannot be asked is a part of the answer: the tokens are there all the same.
pub(crate) async fn answer(cx: &Context) -> Result<Response> {
    let (mut status, recent_tokens) = database::status(cx).await?;
    match compare(cx).await {
        Ok((seen, known)) => {
            status.redis_tokens = Some(seen);
            status.sync_needed = Some(seen != known || seen != status.key_mappings);
        }
        Err(error) => {
            cx.warn("token_manager.redis", json!({ "code": error.as_code(), "error": error.chain() }));
            status.redis_error = Some(error.as_code().to_owned());
        }
    }
    Response::json(200, &StatusReply { success: true, status, recent_tokens })
}

/// Keys that hold a token, and how many of them hold what the last sync saw.
async fn compare(cx: &Context) -> Result<(u64, u64)> {
    let (vault, mut scan) = (Vault::open(cx)?, Scan::of(cx)?);
    let (mut seen, mut known) = (0, 0);
    while let Some(entries) = scan.next().await? {
        let (mut keys, mut fingerprints) = (Vec::new(), Vec::new());
        for Entry { key, held } in entries {
            if let Held::Value(value, _) = held
                && account::of_key(&key).is_some()
                && let Ok(found) = value::read(&value)
            {
                fingerprints.push(vault.fingerprint(&found.token));
                keys.push(key);
            }
        }
        seen += keys.len() as u64;
        known += database::known(cx, &keys, &fingerprints).await?;
    }
    Ok((seen, known))
}
